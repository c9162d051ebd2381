"""Alloys in EMT against ASE itself, the literature and the rules of rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from hypothesis import given, settings
from hypothesis import strategies as st

from materia import evaluators
from materia.errors import EvaluationError
from materia.evaluators.ase import (
    ELEMENTS,
    PRICES_USD_PER_KG,
    NearEMT,
    alloy_properties,
    atom_counts,
    equation_of_state,
    fit_birch,
    near_cubic,
    pure_metal,
    random_alloy,
)
from materia.mdl.definition import Definition

# Kittel, Introduction to Solid State Physics, 8th ed., chapter 1 table 3 (Å), chapter 3 table 3
# (GPa), chapter 1 table 4 (g/cm³).
KITTEL = {
    "Ag": (4.09, 100.7, 10.50),
    "Al": (4.05, 72.2, 2.70),
    "Au": (4.08, 173.2, 19.28),
    "Cu": (3.61, 137.0, 8.93),
    "Ni": (3.52, 186.0, 8.91),
    "Pd": (3.89, 180.8, 12.00),
    "Pt": (3.92, 278.3, 21.47),
}


def definition(
    elements: tuple[str, ...] = ("Cu", "Ni", "Pt"),
    objectives: tuple[str, ...] = ("bulk_modulus", "density"),
    unit: str | None = None,
    **options: object,
) -> Definition:
    parts = [{"name": element} for element in elements]
    alloy = {"name": "alloy", "type": "composition", "parts": parts, "total": 100, "step": 3.125}
    return Definition.model_validate(
        {
            "name": "alloy",
            "parameters": [alloy],
            "objectives": [{"name": name, "unit": unit} for name in objectives],
            "evaluator": {"type": "ase", "options": options},
        }
    )


@pytest.mark.parametrize("element", ELEMENTS)
def test_pure_metals_agree_with_the_literature(element: str) -> None:
    lattice_constant, bulk_modulus, density = KITTEL[element]
    state = pure_metal(element)
    assert state.lattice_constant == pytest.approx(lattice_constant, rel=0.02)
    # EMT is known to make aluminium far too soft; the docstring says so.
    tolerance = 0.5 if element == "Al" else 0.07
    assert state.bulk_modulus == pytest.approx(bulk_modulus, rel=tolerance)
    computed = alloy_properties({element: 4}, state)["density"]
    assert computed == pytest.approx(density, rel=0.05)
    assert state.residual < 1e-4


@pytest.mark.parametrize(("element", "a", "b"), [("Cu", 3.590, 134), ("Ni", 3.487, 174)])
def test_pure_metals_agree_with_independent_figures_for_emt(
    element: str, a: float, b: float
) -> None:
    state = pure_metal(element)
    assert state.lattice_constant == pytest.approx(a, abs=5e-4)
    assert state.bulk_modulus == pytest.approx(b, abs=1.0)


def test_kept_neighbours_give_the_energies_and_forces_of_plain_emt() -> None:
    counts = atom_counts({"Ag": 1, "Al": 1, "Ni": 1, "Pt": 1}, 32)
    atoms = random_alloy(counts, (2, 2, 2), seed=4)
    plain = atoms.copy()
    atoms.calc, plain.calc = NearEMT(), EMT()
    random = np.random.default_rng(0)
    edges = atoms.cell.array.copy()
    for scale in (1.0, 0.95, 1.05, 0.9, 1.12, 1.0):
        move = random.normal(0, 0.1, (32, 3))
        for cell in (atoms, plain):
            cell.set_cell(edges * scale, scale_atoms=True)
            cell.positions += move
        energy, expected = atoms.get_potential_energy(), plain.get_potential_energy()
        assert energy == pytest.approx(expected, rel=1e-12)
        assert atoms.get_forces() == pytest.approx(plain.get_forces(), abs=1e-10)


def test_the_bulk_modulus_is_the_derivative_of_the_pressure() -> None:
    state = pure_metal("Pt")

    def pressure_gpa(volume: float) -> float:
        atoms = bulk("Pt", "fcc", a=float(np.cbrt(4 * volume)))
        atoms.calc = EMT()
        return -float(atoms.get_stress(voigt=False).trace()) / 3 * 160.21766208

    step = 1e-3 * state.volume
    slope = (pressure_gpa(state.volume + step) - pressure_gpa(state.volume - step)) / (2 * step)
    # The rest is the width of the fit: seven volumes within 6 %.
    assert state.bulk_modulus == pytest.approx(-state.volume * slope, rel=0.01)
    assert abs(pressure_gpa(state.volume)) < 0.05


def test_the_fit_recovers_a_birch_curve_exactly() -> None:
    volumes = 11.0 * np.linspace(0.95, 1.06, 7)
    x = (11.0 / volumes) ** (2 / 3)
    b = 140 / 160.21766208
    # Birch 1947 with B' = 5.
    energies = -3.0 + 9 * 11.0 * b / 16 * ((x - 1) ** 3 * 5 + (x - 1) ** 2 * (6 - 4 * x))
    state = fit_birch(volumes, energies)
    assert state.volume == pytest.approx(11.0, rel=1e-9)
    assert state.energy == pytest.approx(-3.0, rel=1e-9)
    assert state.bulk_modulus == pytest.approx(140, rel=1e-6)
    assert state.residual < 1e-9


def test_volumes_that_miss_the_minimum_are_refused() -> None:
    volumes = np.linspace(12, 14, 7)
    with pytest.raises(EvaluationError, match="bracket"):
        fit_birch(volumes, (volumes - 11) ** 2)


def test_a_guess_far_off_leads_to_the_same_minimum() -> None:
    near, far = (equation_of_state(bulk("Cu", "fcc", a=a, cubic=True)) for a in (3.59, 3.95))
    assert far.lattice_constant == pytest.approx(near.lattice_constant, rel=1e-4)
    assert far.bulk_modulus == pytest.approx(near.bulk_modulus, rel=2e-3)


def test_a_cell_without_minimum_nearby_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no minimum"):
        equation_of_state(bulk("Cu", "fcc", a=9.0, cubic=True))


@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=2, max_size=7).filter(
        lambda shares: sum(shares) > 1e-6
    ),
    st.sampled_from([4, 32, 108]),
)
@settings(deadline=None, max_examples=60)
def test_rounding_to_atoms_is_exact_and_nearest(shares: list[float], n_atoms: int) -> None:
    amounts = dict(zip(ELEMENTS, shares, strict=False))
    counts = atom_counts(amounts, n_atoms)
    assert sum(counts.values()) == n_atoms
    total = sum(shares)
    assert all(abs(counts[e] - amounts[e] / total * n_atoms) < 1 for e in amounts)
    assert counts == atom_counts(dict(reversed(amounts.items())), n_atoms)


def test_equal_thirds_are_split_by_the_alphabet() -> None:
    assert atom_counts({"Pt": 1 / 3, "Cu": 1 / 3, "Ni": 1 / 3}, 32) == {
        "Cu": 11,
        "Ni": 11,
        "Pt": 10,
    }


def test_amounts_on_whole_atoms_are_kept() -> None:
    assert atom_counts({"Cu": 3.125, "Ni": 96.875}, 32) == {"Cu": 1, "Ni": 31}


@pytest.mark.parametrize("amounts", [{"Cu": 0.0, "Ni": 0.0}, {"Cu": -1.0, "Ni": 2.0}])
def test_what_is_no_composition_fails(amounts: dict[str, float]) -> None:
    with pytest.raises(EvaluationError, match="no composition"):
        atom_counts(amounts, 32)


@pytest.mark.parametrize(
    ("n_cells", "repeat"), [(1, (1, 1, 1)), (8, (2, 2, 2)), (12, (2, 2, 3)), (27, (3, 3, 3))]
)
def test_supercells_are_as_cubic_as_their_number_of_atoms_allows(
    n_cells: int, repeat: tuple[int, int, int]
) -> None:
    assert near_cubic(n_cells) == repeat


def test_an_alloy_is_deterministic_by_seed_and_placement_matters_little() -> None:
    evaluator = evaluators.build(definition(), data_roots=[])
    params = {"Cu": 50.0, "Ni": 25.0, "Pt": 25.0}
    first, again, other = (evaluator.evaluate(params, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.outcomes != other.outcomes
    assert first.outcomes["bulk_modulus"] == pytest.approx(other.outcomes["bulk_modulus"], rel=0.02)


def test_the_metadata_say_what_was_simulated() -> None:
    evaluator = evaluators.build(definition(atoms=4), data_roots=[])
    metadata = evaluator.evaluate({"Cu": 40.0, "Ni": 40.0, "Pt": 20.0}, seed=9).metadata
    assert metadata["n_atoms"] == {"Cu": 2, "Ni": 1, "Pt": 1}
    assert metadata["composition"] == {"Cu": 0.5, "Ni": 0.25, "Pt": 0.25}
    assert metadata["seed"] == 9
    assert metadata["repeat"] == [1, 1, 1]
    assert set(metadata["properties"]) >= {"bulk_modulus", "cost"}
    assert metadata["fit_residual_ev_per_atom"] < 1e-3


def test_a_pure_metal_as_alloy_has_its_properties_and_no_formation_energy() -> None:
    objectives = ("formation_energy", "lattice_constant", "cost")
    evaluator = evaluators.build(definition(objectives=objectives), data_roots=[])
    outcomes = evaluator.evaluate({"Cu": 0.0, "Ni": 100.0, "Pt": 0.0}, seed=3).outcomes
    assert outcomes["formation_energy"] == pytest.approx(0, abs=1e-6)
    assert outcomes["lattice_constant"] == pytest.approx(
        pure_metal("Ni").lattice_constant, rel=1e-5
    )
    assert outcomes["cost"] == pytest.approx(PRICES_USD_PER_KG["Ni"])


def test_cost_is_weighted_by_mass() -> None:
    cost = alloy_properties({"Al": 2, "Pt": 2}, pure_metal("Pt"))["cost"]
    assert cost == pytest.approx((26.9815 * 2.3 + 195.084 * 31_000) / (26.9815 + 195.084), rel=1e-4)


def test_relaxed_positions_lower_the_energy_and_soften_a_strained_alloy() -> None:
    counts = atom_counts({"Ag": 1, "Ni": 1}, 32)
    rigid = equation_of_state(random_alloy(counts, (2, 2, 2), 5))
    relaxed = equation_of_state(random_alloy(counts, (2, 2, 2), 5), relax=True)
    assert relaxed.energy < rigid.energy - 0.01
    assert relaxed.bulk_modulus < rigid.bulk_modulus


def test_silver_and_nickel_do_not_mix_but_gold_and_palladium_do() -> None:
    # Known immiscible, and known to form solid solutions at every composition.
    energies = {}
    for pair in (("Ag", "Ni"), ("Au", "Pd")):
        counts = atom_counts(dict.fromkeys(pair, 1.0), 32)
        state = equation_of_state(random_alloy(counts, (2, 2, 2), 0), relax=True)
        energies[pair] = alloy_properties(counts, state)["formation_energy"]
    assert energies["Ag", "Ni"] > 0.05
    assert energies["Au", "Pd"] < 0.01


@pytest.mark.parametrize(
    ("declared", "level", "path", "words"),
    [
        (definition(("Cu", "Fe")), "error", "parameters[0].parts[1]", "'Fe'"),
        (definition(("Cu", "H")), "error", "parameters[0].parts[1]", "'H'"),
        (definition(objectives=("hardness",)), "error", "objectives[0].name", "hardness"),
        (definition(properties=["cost"]), "error", "objectives[0].name", "bulk_modulus"),
        (definition(unit="kbar"), "warning", "objectives[0].unit", "GPa"),
        (definition(atoms=30), "error", "evaluator.options.atoms", "multiple of 4"),
        (definition(atoms=10**6), "error", "evaluator.options.atoms", "2048"),
        (definition(elements_=["Cu"]), "error", "evaluator.options.elements_", "no option"),
        (definition(properties=["colour"]), "error", "evaluator.options.properties", "bulk"),
    ],
)
def test_a_mismatch_is_a_finding_with_its_place(
    declared: Definition, level: str, path: str, words: str
) -> None:
    finding = evaluators.check(declared, data_roots=[])[0]
    assert (finding.level, finding.path) == (level, path)
    assert words in finding.message


def test_elements_that_differ_from_the_parameters_are_a_finding() -> None:
    declared = definition().model_dump()
    declared["evaluator"]["options"] = {"elements": ["Cu", "Ni"]}
    findings = evaluators.check(Definition.model_validate(declared), data_roots=[])
    assert [finding.path for finding in findings] == ["evaluator.options.elements"]


def test_outcomes_are_finite_over_random_compositions() -> None:
    objectives = ("bulk_modulus", "density", "formation_energy", "cost")
    evaluator = evaluators.build(definition(ELEMENTS, objectives, atoms=4), data_roots=[])
    random = np.random.default_rng(3)
    for seed in range(20):
        shares = random.dirichlet(np.ones(len(ELEMENTS))) * 100
        params = dict(zip(ELEMENTS, shares.tolist(), strict=True))
        outcomes = evaluator.evaluate(params, seed=seed).outcomes
        assert all(math.isfinite(value) for value in outcomes.values())
        assert 30 < outcomes["bulk_modulus"] < 300
        assert 2.5 < outcomes["density"] < 22


@pytest.mark.parametrize(
    ("atoms", "step", "advice"),
    [
        (32, None, "step: 3.125"),
        (32, 1, "step: 3.125"),
        (32, 3.125, None),
        (32, 6.25, None),
        (100, 1, None),
        (108, 5, "step: 0.9259259259"),
    ],
)
def test_steps_that_the_cell_cannot_hold_are_a_warning_with_the_right_step(
    atoms: int, step: float | None, advice: str | None
) -> None:
    declared = definition(atoms=atoms).model_dump(mode="json")
    declared["parameters"][0]["step"] = step
    found = evaluators.check(Definition.model_validate(declared), data_roots=[])
    assert [(f.level, f.path, f.fix) for f in found] == (
        [("warning", "parameters[0].step", advice)] if advice else []
    )
