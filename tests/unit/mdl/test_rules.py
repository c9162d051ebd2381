"""What parameters, compositions, objectives and the optimizer must satisfy."""

from __future__ import annotations

import copy
import tracemalloc
from typing import Any

import numpy as np
import pytest
from battery import DATA, TEXT, changed, findings_of, line_of, only
from hypothesis import given
from hypothesis import strategies as st

from materia.mdl import check, load
from materia.mdl.rules import MAX_NAMES


@pytest.mark.parametrize(
    ("old", "new", "path", "what", "fix"),
    [
        (
            "[0.3, 0.9]",
            "[0.9, 0.3]",
            "bounds",
            "the bounds [0.9, 0.3] are reversed",
            "write [0.3, 0.9]",
        ),
        (
            "[0.3, 0.9]",
            "[0.3, 0.3]",
            "bounds",
            "both bounds are 0.3, so there is nothing to choose",
            "widen the bounds",
        ),
        ("[0.3, 0.9]", "[-1e308, 1e308]", "bounds", "the bounds are too far apart", "1e307"),
        (
            "[0.3, 0.9]",
            "[0, 0.9], log_scale: true",
            "bounds",
            "log_scale needs bounds above 0, but the lower one is 0",
            "remove log_scale",
        ),
        (
            "[700, 950], step: 10",
            "[950, 700]",
            "bounds",
            "the bounds [950, 700] are reversed",
            "write [700, 950]",
        ),
        ("[700, 950], step: 10", "[700, 700]", "bounds", "both bounds are 700", "widen"),
        (
            "[700, 950], step: 10",
            "[-5, 950], log_scale: true",
            "bounds",
            "log_scale needs bounds above 0, but the lower one is -5",
            "raise the lower bound",
        ),
        (
            "step: 10",
            "step: 300",
            "step",
            "a step of 300 does not fit between 700 and 950",
            "at most 250",
        ),
        (
            "[EC-DMC, EC-DEC]",
            "[A, B, A]",
            "choices[2]",
            "the choice 'A' is given twice; first as choices[0]",
            "remove one",
        ),
        (
            "[EC-DMC, EC-DEC]",
            "[1, 2, 1.0]",
            "choices[2]",
            "the choice 1.0 is given twice; first as choices[0]",
            "remove one",
        ),
    ],
)
def test_a_parameter_without_a_sound_range_is_refused(
    old: str, new: str, path: str, what: str, fix: str
) -> None:
    found = findings_of(changed((old, new)))
    assert len(found) == 1
    assert found[0].path.split(".")[1] == path
    assert what in found[0].message
    assert fix in str(found[0].fix)
    assert found[0].line == line_of(old)


def test_a_step_that_misses_the_upper_bound_is_doubtful() -> None:
    finding = only(changed(("step: 10", "step: 100")), "warning")
    assert finding.message == "in steps of 100 from 700 the upper bound 950 is never reached"
    assert finding.fix == "the last value is 900; write that"


def test_a_single_choice_is_doubtful() -> None:
    finding = only(changed(("[EC-DMC, EC-DEC]", "[EC-DMC]")), "warning")
    assert finding.message == "there is only one choice, so there is nothing to choose"


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("name: temp", "name: ni", "parameters[1].name"),
        ("name: alloy", "name: ni", "parameters[3].name"),
        ("name: Pt", "name: Pd", "parameters[3].parts[2].name"),
        ("name: Pt", "name: temp", "parameters[3].parts[2].name"),
        ("name: cost", "name: ni", "objectives[1].name"),
    ],
)
def test_a_name_is_used_once(old: str, new: str, path: str) -> None:
    found = [f for f in findings_of(changed((old, new))) if f.path == path]
    assert f"the name '{new[6:]}' is used twice, first by parameters[" in found[0].message
    assert f"on line {line_of(new)}" in found[0].message
    assert "rename one" in str(found[0].fix)


def test_a_million_parameters_are_refused_before_they_take_memory() -> None:
    data = {**DATA, "parameters": [DATA["parameters"][0]] * 1_000_000}
    text = TEXT.replace("parameters:\n", "parameters:\n" + "- {name: a}\n" * 1_000_000)
    tracemalloc.start()
    from_data, from_text = only(data), only(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert from_data.message == "the list has 1000000 entries; at most 100 are allowed"
    assert from_data.path == "parameters"
    assert from_text.message == "the definition is larger than 1000000 bytes"
    assert peak < 50e6


def test_a_hundred_and_one_parameters_are_refused_with_the_limit() -> None:
    data = copy.deepcopy(DATA)
    data["parameters"] += [
        {"name": f"x{i}", "type": "continuous", "bounds": [0, 1]} for i in range(97)
    ]
    finding = only(data)
    assert finding.message == "'parameters' has 101 entries; 1 to 100 are allowed"


def test_too_many_parts_together_are_refused() -> None:
    data = copy.deepcopy(DATA)
    for i in range(3):
        parts = [{"name": f"p{i}_{j}"} for j in range(80)]
        data["parameters"].append({"name": f"g{i}", "type": "composition", "parts": parts})
    assert f"246 parameters and parts together; at most {MAX_NAMES}" in only(data).message


@pytest.mark.parametrize(
    "source",
    [
        "a: " * 1 + "[" * 100 + "]" * 100,
        changed(("{relax: true}", "{x: " + "[" * 100 + "]" * 100 + "}")),
    ],
)
def test_a_hundred_levels_of_nesting_are_refused(source: str) -> None:
    assert "nested more than 20 levels deep" in only(source).message


def composition(parts: str, **more: Any) -> str:
    text = changed(
        ("total: 100", "; ".join(f"{k}: {v}" for k, v in more.items()).replace("; ", "\n    ")),
        (
            TEXT[TEXT.index("    parts:") : TEXT.index("objectives:")],
            f"    parts: {parts}\n",
        ),
        ("ni + Cu / 100 <= 1.0", "ni <= 0.8"),
    )
    return text if more else text.replace("    \n    parts", "    parts")


@pytest.mark.parametrize(
    ("parts", "more", "path", "what", "fix"),
    [
        (
            "[{name: A, bounds: [0.6, 1]}, {name: B, bounds: [0.5, 1]}]",
            {},
            "parts",
            "the lower bounds of the parts sum to 1.1, more than the total of 1",
            "lower some lower bounds",
        ),
        (
            "[{name: A, bounds: [0, 0.4]}, {name: B, bounds: [0, 0.5]}]",
            {},
            "parts",
            "the upper bounds of the parts sum to 0.9, less than the total of 1",
            "raise some upper bounds",
        ),
        (
            "[{name: A, bounds: [0.4, 0.6]}, {name: B, bounds: [0.6, 1]}]",
            {},
            "parts",
            "the bounds leave only one composition that sums to 1",
            "widen",
        ),
        (
            "[{name: A, bounds: [0.4, 0.4]}, {name: B}]",
            {},
            "parts",
            "the bounds leave only one composition",
            "widen",
        ),
        (
            "[{name: A, bounds: [0.4, 0.3]}, {name: B}]",
            {},
            "parts[0].bounds",
            "the bounds [0.4, 0.3] are reversed",
            "write [0.3, 0.4]",
        ),
        (
            "[{name: A, bounds: [-0.4, 0.3]}, {name: B}]",
            {},
            "parts[0].bounds",
            "a part cannot be negative, but its lower bound is -0.4",
            "raise it to 0",
        ),
        ("[{name: A}]", {}, "parts", "'parts' has 1 entries; 2 to 100 are allowed", "parts: ["),
        (
            "[{name: A}, {name: B}]",
            {"step": 0.3},
            "step",
            "the total of 1 is not a whole number of steps of 0.3",
            "such as 0.25",
        ),
        (
            "[{name: A}, {name: B}]",
            {"total": 100, "step": 1e-9},
            "step",
            "into more than 1000000 steps",
            "a larger step",
        ),
        (
            "[{name: A}, {name: B}]",
            {"step": 2},
            "step",
            "is not a whole number of steps of 2",
            "such as 1",
        ),
        (
            "[{name: A, bounds: [0.1, 0.2]}, {name: B}]",
            {"step": 0.25},
            "parts",
            "no multiple of the step 0.25 lies between the bounds of A",
            "widen",
        ),
        (
            "[{name: A, bounds: [0, 0.7]}, {name: B, bounds: [0, 0.4]}]",
            {"step": 0.25},
            "parts",
            "the upper bounds of the parts sum to 0.75 on steps of 0.25, less than",
            "raise",
        ),
        (
            "[{name: A, bounds: [0, 0.5]}, {name: B, bounds: [0, 0.5]}]",
            {"max_nonzero": 1, "total": 0.75},
            "max_nonzero",
            "1 non-zero parts sum to at most 0.5, less than the total of 0.75",
            "raise max_nonzero",
        ),
        (
            "[{name: A, bounds: [0.1, 1]}, {name: B, bounds: [0.1, 1]}, {name: C}]",
            {"max_nonzero": 1},
            "max_nonzero",
            "2 parts have lower bounds above 0, but max_nonzero allows 1",
            "raise it to 2",
        ),
    ],
)
def test_a_composition_that_cannot_be_is_refused(
    parts: str, more: dict[str, Any], path: str, what: str, fix: str
) -> None:
    found = findings_of(composition(parts, **more))
    assert [f.path for f in found] == [f"parameters[3].{path}"]
    assert what in found[0].message
    assert fix in str(found[0].fix)


@pytest.mark.parametrize(
    ("parts", "more", "path", "what", "fix"),
    [
        ("[{name: A, bounds: [5, 60]}, {name: B, bounds: [0, 1]}]", {"total": 60.5}, "", "", ""),
        (
            "[{name: A, bounds: [0, 60]}, {name: B}]",
            {},
            "parts[0].bounds",
            "the upper bound 60 lies above the total of 1",
            "write total: 100",
        ),
        (
            "[{name: A, bounds: [0, 60]}, {name: B}]",
            {"total": 50},
            "parts[0].bounds",
            "the upper bound 60 lies above the total of 50",
            "lower it to 50",
        ),
        (
            "[{name: A, bounds: [0, 0.6]}, {name: B}]",
            {"step": 0.25},
            "parts[0].bounds",
            "the bounds [0.0, 0.6] are not multiples of the step 0.25",
            "values from 0 to 0.5 are used",
        ),
        (
            "[{name: A}, {name: B}]",
            {"max_nonzero": 3},
            "max_nonzero",
            "max_nonzero is 3, but there are only 2 parts",
            "lower it",
        ),
    ],
)
def test_a_composition_that_is_probably_not_meant_is_doubtful(
    parts: str, more: dict[str, Any], path: str, what: str, fix: str
) -> None:
    text = composition(parts, **more)
    if not path:
        assert check(text)[1] == []
        return
    finding = only(text, "warning")
    assert finding.path == f"parameters[3].{path}"
    assert what in finding.message
    assert fix in str(finding.fix)


def test_steps_that_floats_cannot_write_exactly_are_accepted() -> None:
    parts = "[{name: A, bounds: [0.1, 0.6]}, {name: B, bounds: [0.3, 0.9]}, {name: C}]"
    assert check(composition(parts, step=0.1))[1] == []
    assert check(composition("[{name: A}, {name: B}]", total=100, step=3.125))[1] == []


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted), min_size=2, max_size=4),
    st.integers(1, 6),
    st.none() | st.integers(1, 4),
)
def test_a_composition_is_accepted_exactly_when_there_are_compositions_to_choose_from(
    bounds: list[list[int]], total: int, max_nonzero: int | None
) -> None:
    part_names = ["A", "B", "C", "D"][: len(bounds)]
    parameter = {
        "name": "mix",
        "type": "composition",
        "total": total,
        "step": 1,
        "max_nonzero": max_nonzero,
        "parts": [{"name": n, "bounds": b} for n, b in zip(part_names, bounds, strict=True)],
    }
    grid = np.stack(np.meshgrid(*[range(low, high + 1) for low, high in bounds]), -1)
    rows = grid.reshape(-1, len(bounds))
    rows = rows[rows.sum(axis=1) == total]
    if max_nonzero is not None:
        rows = rows[np.count_nonzero(rows, axis=1) <= max_nonzero]
    definition, _ = check({"name": "x", "parameters": [parameter], "objectives": [{"name": "y"}]})
    if definition is None:
        assert len(rows) <= 1
    elif max_nonzero is None:
        assert len(rows) > 1
    else:
        assert len(rows) >= 1


@pytest.mark.parametrize("n_objectives", [3, 4, 5, 6, 50])
def test_up_to_five_objectives_are_accepted(n_objectives: int) -> None:
    data = copy.deepcopy(DATA)
    data["objectives"] += [{"name": f"y{i}"} for i in range(n_objectives - 2)]
    if n_objectives <= 5:
        assert len(load(data).objectives) == n_objectives
    else:
        assert "1 to 5 are allowed" in only(data).message


def test_a_target_is_matched_and_not_exceeded() -> None:
    finding = only(changed(("reference_point: 100", "target: 100")))
    assert finding.path == "objectives[0].direction"
    assert "'target' asks to match a value" in finding.message
    assert "remove direction" in str(finding.fix)
    assert load(changed(("direction: maximize, reference_point: 100", "target: 100")))


def test_a_reference_point_on_the_target_is_doubtful() -> None:
    text = changed(("direction: maximize, reference_point: 100", "target: 5, reference_point: 5"))
    assert "no outcome can be better" in only(text, "warning").message


def test_an_acquisition_fits_the_number_of_objectives() -> None:
    finding = only(changed(("acquisition: auto", "acquisition: ei")))
    assert finding.path == "optimizer.acquisition"
    assert finding.message == "acquisition ei is for one objective, but there are 2"
    assert finding.fix == "write acquisition: ehvi, noisy_ehvi, parego, or auto"
    one = [
        ("acquisition: auto", "acquisition: ehvi"),
        ("  - {name: energy, direction: maximize, reference_point: 100}\n", ""),
    ]
    finding = only(changed(*one))
    assert finding.message == "acquisition ehvi is for several objectives, but there is one"
    assert finding.fix == "write acquisition: ei, noisy_ei, ucb, pi, thompson, or auto"


def test_initial_samples_fit_into_the_budget() -> None:
    finding = only(changed(("initial_samples: 20", "initial_samples: 300")))
    assert (finding.line, finding.path) == (30, "optimizer.active_learning.initial_samples")
    assert finding.message == "300 initial samples are more than the budget of 200"
    assert finding.fix == "lower initial_samples to at most 200 or raise optimizer.budget"
    assert check(changed(("initial_samples: 20", "initial_samples: 200")))[1] == []


def test_a_batch_larger_than_the_budget_is_doubtful() -> None:
    text = changed(("budget: 200", "budget: 8"), ("initial_samples: 20", "initial_samples: 4"))
    assert only(text, "warning").message == "a batch of 10 is more than the budget of 8"


def test_a_threshold_without_patience_is_doubtful() -> None:
    text = changed(("convergence_patience: 5", "convergence_threshold: 0.1"))
    assert "no effect without convergence_patience" in only(text, "warning").message


def test_a_budget_far_too_large_is_told_the_range() -> None:
    assert only(changed(("budget: 200", "budget: 1e30"))).fix == (
        "write a whole number between 1 and 10000"
    )


@pytest.mark.parametrize(
    ("replicates", "path", "what", "fix"),
    [
        (201, "optimizer.replicates", "must be between 1 and 100, not 201", ""),
        (
            11,
            "optimizer.active_learning.initial_samples",
            "20 initial samples, evaluated 11 times each, are more than the budget of 200",
            "at most 18",
        ),
    ],
)
def test_replicates_must_fit_into_the_budget(
    replicates: int, path: str, what: str, fix: str
) -> None:
    found = only(changed(("  seed: 42", f"  seed: 42\n  replicates: {replicates}")))
    assert found.path == path
    assert what in found.message
    assert fix in str(found.fix)


def test_more_replicates_than_evaluations_are_refused() -> None:
    text = changed(
        ("budget: 200", "budget: 10\n  replicates: 20"),
        ("batch_size: 10", "batch_size: 1"),
        ("    initial_samples: 20\n", ""),
    )
    found = only(text)
    assert found.path == "optimizer.replicates"
    assert "20 replicates of one point are more than the budget of 10" in found.message
