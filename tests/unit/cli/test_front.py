"""The Pareto front in terminals of all widths: one line a point, nothing broken."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from materia.cli.front import MAX_ROWS, front_table
from materia.mdl import Definition, load

EXAMPLES = Path(__file__).parents[3] / "examples"


def shown(definition: Definition, front: list[dict[str, Any]], width: int) -> list[str]:
    """Return the lines of the table in a terminal of a width."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(front_table(definition, front, console))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def wide_definition(n_parameters: int) -> tuple[Definition, list[str]]:
    """Return a definition with long names, and the names of its parameters."""
    names = [f"temperature_of_the_furnace_zone_{i}" for i in range(n_parameters - 1)]
    parameters: list[dict[str, Any]] = [
        {"name": name, "type": "continuous", "bounds": [0, 2000]} for name in names
    ]
    choices = ["a solvent of an uncommonly long name", "water"]
    parameters.append({"name": "solvent", "type": "categorical", "choices": choices})
    objectives = [
        {"name": "elongation_at_break_after_ageing", "direction": "maximize", "unit": "per cent"},
        {"name": "coefficient_of_friction", "unit": "in units that nobody ever has heard of"},
    ]
    plain = {"name": "wide", "parameters": parameters, "objectives": objectives}
    return Definition.model_validate(plain), [*names, "solvent"]


def points(definition: Definition, names: list[str], n: int) -> list[dict[str, Any]]:
    numbers = {name: 1234.56789 for name in names if name != "solvent"}
    params = {**numbers, "solvent": "a solvent of an uncommonly long name"}
    params = {name: params[name] for name in names}
    outcomes = {o.name: -0.000123456789 for o in definition.objectives}
    return [{"id": f"c{i:04}", "params": params, "outcomes": outcomes} for i in range(n)]


@pytest.mark.parametrize("width", [60, 80, 100, 132])
@pytest.mark.parametrize("n_parameters", [2, 5, 30])
def test_every_point_is_one_line_that_is_not_cut(width: int, n_parameters: int) -> None:
    definition, names = wide_definition(n_parameters)
    lines = shown(definition, points(definition, names, 30), width)
    assert max(map(len, lines)) <= width
    further = [i for i, line in enumerate(lines) if line.startswith("The same candidates")]
    if further:
        lines, rest = lines[: further[0]], lines[further[0] :]
        ids = [line.split()[0] for line in rest if line.startswith("c0")]
        assert ids == [line.split()[0] for line in lines if line.startswith("c0")]
    of_points = [line.split() for line in lines if line.startswith("c0")]
    assert len(of_points) == MAX_ROWS
    assert (of_points[0][0], of_points[-1][0]) == ("c0000", "c0029")
    for line in of_points:
        assert [float(cell) for cell in line[1:3]] == pytest.approx([-0.000123457] * 2, rel=0.01)
        assert not any(cell.endswith("…") and cell[0].isdigit() for cell in line)


def test_parameters_without_room_are_named_below() -> None:
    definition, names = wide_definition(30)
    lines = shown(definition, points(definition, names, 3), 80)
    (first,) = [i for i, line in enumerate(lines) if line.startswith("not shown here: ")]
    n_shown = len(next(line for line in lines if line.startswith("c0000")).split()) - 3
    assert n_shown >= 2
    assert lines[3].endswith(" 1235")
    named = ", ".join(names[n_shown : n_shown + 3])
    assert " ".join(lines[first:]) == f"not shown here: {named} and {30 - n_shown - 3} more"


def test_the_alloy_of_the_examples_has_room_for_all_of_it_in_80_columns() -> None:
    definition = load((EXAMPLES / "alloy.yaml").read_text())
    names = ["Ag", "Au", "Cu", "Ni", "Pd", "Pt"]
    point = {
        "id": "c0012",
        "params": dict.fromkeys(names, 15.625),
        "outcomes": {"bulk_modulus": 201.98765432, "density": 11.98765432},
    }
    lines = shown(definition, [point], 80)
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["bulk_modulus", "↑", "density", "↓"]
    assert lines[2].split() == ["id", "GPa", "g/cm³", *names]
    assert not any(line.startswith("not shown") for line in lines)


def test_parameters_without_room_come_below_where_there_is_room_for_them() -> None:
    names = ["water_binder", "superplasticizer", "curing_days", "aggregate"]
    names += ["clinker", "slag", "fly_ash", "silica_fume"]
    parameters = [{"name": n, "type": "continuous", "bounds": [0, 100]} for n in names]
    objectives = [{"name": "strength", "unit": "MPa"}, {"name": "carbon", "unit": "kg CO₂/t"}]
    plain = {"name": "concrete", "parameters": parameters, "objectives": objectives}
    outcomes = {"strength": 194.1284, "carbon": 283.2004}
    front = [
        {"id": f"c{i:04}", "params": dict.fromkeys(names, 12.345 + i), "outcomes": outcomes}
        for i in range(3)
    ]
    lines = shown(Definition.model_validate(plain), front, 80)
    assert max(map(len, lines)) <= 80
    numbers = [
        float(cell) for line in lines if line.startswith("c0001") for cell in line.split()[1:]
    ]
    assert numbers == [194.1, 283.2, *[13.35] * 8]
    assert not any(line.startswith("not shown") for line in lines)


def test_with_room_everything_is_shown_in_full() -> None:
    definition, names = wide_definition(5)
    text = "\n".join(shown(definition, points(definition, names, 1), 300))
    assert all(name in text for name in names)
    assert "a solvent of an uncommonly long name" in text
    assert "1234.6" in text
    assert "-0.00012346" in text
