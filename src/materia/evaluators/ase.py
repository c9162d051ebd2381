"""Evaluator `ase`: random FCC alloys of Ag, Al, Au, Cu, Ni, Pd and Pt, simulated with ASE's EMT.

A composition becomes a periodic supercell with atoms placed at random (seeded); its energy at
several volumes gives the equation of state, and that the outcomes:

    bulk_modulus      GPa       V d²E/dV² at the minimum
    lattice_constant  Å         of the conventional cubic cell, (4 V / atoms)^(1/3)
    formation_energy  eV/atom   against the pure elements at their own EMT minimum
    density           g/cm³     standard atomic weights over the equilibrium volume
    cost              USD/kg    raw materials, weighted by mass; see `PRICES_USD_PER_KG`

What it is worth: EMT was fitted to elemental FCC metals. Against the tables of Kittel, lattice
constants agree within 2 %, densities within 5 % and bulk moduli within 7 %, except that aluminium
comes out at half its bulk modulus. Mixing energies are qualitative, temperature is 0 K, and phases
other than a random FCC solid solution do not exist here. The cell is finite: at 32 atoms another
placement of the same composition changes the bulk modulus by some 0.2 to 0.6 GPa (one standard
deviation; 1.6 GPa with relaxed positions), and a composition is rounded to whole atoms.

Sources:
    Potential: Jacobsen, Stoltze, Nørskov, Surf. Sci. 366 (1996) 394, as implemented in ASE,
        Hjorth Larsen et al., J. Phys.: Condens. Matter 29 (2017) 273002.
    Equation of state: Birch, Phys. Rev. 71 (1947) 809, third order, over seven volumes within
        6 % of the minimum as in Lejaeghere et al., Science 351 (2016) aad3000.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.data import atomic_masses, atomic_numbers, reference_states
from ase.optimize import LBFGS
from ase.units import GPa, kg, m
from numpy.typing import NDArray
from pydantic import Field

from materia.errors import EvaluationError
from materia.evaluators.base import (
    Evaluation,
    Evaluator,
    Options,
    error_at,
    inputs,
    missing_findings,
    warning_at,
)
from materia.evaluators.places import Places
from materia.mdl.definition import CompositionParameter, Definition
from materia.mdl.finding import Finding
from materia.mdl.suggest import did_you_mean

FloatArray = NDArray[np.float64]

ELEMENTS = ("Ag", "Al", "Au", "Cu", "Ni", "Pd", "Pt")

PRICES_USD_PER_KG: Mapping[str, float] = {
    "Ag": 750.0,
    "Al": 2.3,
    "Au": 62_000.0,
    "Cu": 8.5,
    "Ni": 22.0,
    "Pd": 43_000.0,
    "Pt": 31_000.0,
}
"""Averages of 2023 to two digits, good for orders of magnitude only: World Bank Commodity Price
Data ("Pink Sheet") for Ag, Al, Au, Cu, Ni and Pt; London Bullion Market for Pd."""

UNITS: Mapping[str, tuple[str, ...]] = {
    "bulk_modulus": ("GPa",),
    "lattice_constant": ("Å", "angstrom", "A"),
    "formation_energy": ("eV/atom",),
    "density": ("g/cm3", "g/cm³", "g/cm^3"),
    "cost": ("USD/kg",),
}
"""Every property with its unit, and other spellings of that unit."""

Property = Literal["bulk_modulus", "lattice_constant", "formation_energy", "density", "cost"]

_SPAN = 0.02  # of the lattice constant on either side of the minimum: 6 % of the volume
_N_VOLUMES = 7
_MAX_FORCE = 0.02  # eV/Å, of relaxed positions
_MAX_RELAX_STEPS = 300
_SKIN = 0.3  # Å an atom may move before its neighbours are searched again


class AlloyOptions(Options):
    """Options of the evaluator `ase`."""

    elements: tuple[str, ...] | None = Field(None, description="checked against the parameters")
    atoms: int = Field(32, ge=4, le=2048, multiple_of=4, description="atoms of the supercell")
    relax: bool = Field(False, description="relax the positions at every volume")
    properties: tuple[Property, ...] = Field(
        ("bulk_modulus", "lattice_constant", "formation_energy", "density", "cost"),
        description="what is recorded, objectives included",
        min_length=1,
    )


@dataclass(frozen=True)
class EquationOfState:
    """Minimum of the energy over the volume.

    Attributes:
        volume: At the minimum, Å³ per atom.
        energy: At the minimum, eV per atom.
        bulk_modulus: GPa.
        residual: Root mean square misfit of the energies, eV per atom.
    """

    volume: float
    energy: float
    bulk_modulus: float
    residual: float

    @property
    def lattice_constant(self) -> float:
        """Edge of the conventional cubic cell, Å."""
        return float(np.cbrt(4 * self.volume))


class AlloyEvaluator(Evaluator):
    """Simulates one alloy per candidate; 0.03 s for 32 atoms (0.12 s with relaxed positions)."""

    options_model = AlloyOptions
    is_random = True

    def __init__(self, definition: Definition, options: AlloyOptions, places: Places) -> None:
        super().__init__(definition, options, places)
        self.elements = sorted(item.name for item in inputs(definition))
        self.repeat = near_cubic(options.atoms // 4)

    @classmethod
    def findings(
        cls, definition: Definition, options: AlloyOptions, places: Places
    ) -> list[Finding]:
        """Check that parameters are elements and objectives are properties with their units."""
        names = [item.name for item in inputs(definition)]
        return [
            *_parameter_findings(definition, options, names),
            *_objective_findings(definition, options),
            *_step_findings(definition, options),
        ]

    def evaluate(self, params: Mapping[str, Any], *, seed: int) -> Evaluation:
        """Return the properties of a random alloy; the seed decides where the atoms are."""
        counts = atom_counts({e: float(params[e]) for e in self.elements}, self.options.atoms)
        atoms = random_alloy(counts, self.repeat, seed)
        state = equation_of_state(atoms, relax=self.options.relax)
        computed = alloy_properties(counts, state)
        metadata = {
            "n_atoms": counts,
            "composition": {e: n / self.options.atoms for e, n in counts.items()},
            "repeat": list(self.repeat),
            "seed": seed,
            "fit_residual_ev_per_atom": state.residual,
            "properties": {name: computed[name] for name in self.options.properties},
        }
        return Evaluation({name: computed[name] for name in self.objective_names}, metadata)


def near_cubic(n_cells: int) -> tuple[int, int, int]:
    """Return how often the cubic cell is repeated along x, y and z, as evenly as possible."""
    return min(
        (
            (a, b, n_cells // (a * b))
            for a in range(1, n_cells + 1)
            if n_cells % a == 0
            for b in range(a, n_cells // a + 1)
            if n_cells % (a * b) == 0 and n_cells // (a * b) >= b
        ),
        key=lambda repeat: (max(repeat) - min(repeat), repeat),
    )


def atom_counts(amounts: Mapping[str, float], n_atoms: int) -> dict[str, int]:
    """Round amounts to whole atoms by largest remainder; ties go to the first in the alphabet.

    Args:
        amounts: Of each element, >= 0, in any unit of amount of substance.
        n_atoms: Sum of the counts.

    Raises:
        EvaluationError: The amounts are all zero, negative or not finite.
    """
    total = math.fsum(amounts.values())
    if not (math.isfinite(total) and total > 0 and min(amounts.values()) >= 0):
        raise EvaluationError(
            f"{dict(amounts)} is no composition", "amounts must be >= 0 and not all zero"
        )
    elements = sorted(amounts)
    exact = [amounts[element] / total * n_atoms for element in elements]
    # The margin keeps 2.9999999 (a rounded third) at 3 and its remainder at nothing.
    counts = [math.floor(share + 1e-6) for share in exact]
    order = sorted(range(len(elements)), key=lambda i: (counts[i] - exact[i], elements[i]))
    for i in order[: n_atoms - sum(counts)]:
        counts[i] += 1
    return dict(zip(elements, counts, strict=True))


def random_alloy(counts: Mapping[str, int], repeat: tuple[int, int, int], seed: int) -> Atoms:
    """Return an FCC supercell at Vegard's lattice constant with atoms placed at random."""
    n_atoms = sum(counts.values())
    guess = sum(n * pure_metal(e).lattice_constant for e, n in counts.items() if n) / n_atoms
    atoms = bulk("Cu", "fcc", a=guess, cubic=True).repeat(repeat)
    numbers = np.repeat([atomic_numbers[e] for e in counts], list(counts.values()))
    atoms.numbers = np.random.default_rng(seed).permutation(numbers)
    return atoms


@lru_cache(maxsize=len(ELEMENTS))
def pure_metal(element: str) -> EquationOfState:
    """Return the equation of state of a pure FCC metal in EMT."""
    reference = reference_states[atomic_numbers[element]]
    return equation_of_state(bulk(element, "fcc", a=reference["a"], cubic=True))


def alloy_properties(counts: Mapping[str, int], state: EquationOfState) -> dict[str, float]:
    """Return every property of `UNITS`, in its unit."""
    n_atoms = sum(counts.values())
    present = {element: n for element, n in counts.items() if n}
    masses = {e: n * float(atomic_masses[atomic_numbers[e]]) for e, n in present.items()}
    mass = math.fsum(masses.values())  # u
    reference = math.fsum(n * pure_metal(e).energy for e, n in present.items()) / n_atoms
    g_per_cm3 = kg / 1000 / (m / 100) ** 3
    return {
        "bulk_modulus": state.bulk_modulus,
        "lattice_constant": state.lattice_constant,
        "formation_energy": state.energy - reference,
        "density": mass / (n_atoms * state.volume) / g_per_cm3,
        "cost": math.fsum(PRICES_USD_PER_KG[e] * part for e, part in masses.items()) / mass,
    }


def equation_of_state(atoms: Atoms, *, relax: bool = False) -> EquationOfState:
    """Find the volume of least energy and the curvature there; `atoms` is changed.

    Costs about ten energies, each with relaxed positions if `relax`.

    Raises:
        EvaluationError: There is no minimum near the given volume, or a relaxation did not end.
    """
    atoms.calc = NearEMT()
    edges = atoms.cell.array.copy()

    def energies(scales: Sequence[float] | FloatArray, relaxed: bool = False) -> FloatArray:
        values = []
        for scale in scales:
            atoms.set_cell(edges * scale, scale_atoms=True)
            if relaxed:
                _relax(atoms)
            values.append(atoms.get_potential_energy() / len(atoms))
        return np.array(values)

    centre = _bracket(energies, 1.0)
    if relax:
        # Relaxed once, the cell shrinks a little; the way there needs no further relaxation.
        energies([centre], relaxed=True)
        centre = _bracket(energies, centre)
    scales = centre * np.linspace(1 - _SPAN, 1 + _SPAN, _N_VOLUMES)
    volume = float(np.linalg.det(edges)) / len(atoms)
    return fit_birch(volume * scales**3, energies(scales, relaxed=relax))


def _bracket(energies: Callable[[Sequence[float]], FloatArray], centre: float) -> float:
    """Return the scale of the cell near which the energy is least, by parabolas."""
    span = 1.5 * _SPAN
    for _ in range(8):
        left, middle, right = energies([centre * (1 - span), centre, centre * (1 + span)])
        bend = left - 2 * middle + right
        step = 0.5 * (left - right) / bend if bend > 0 else math.copysign(1.0, left - right)
        centre *= 1 + span * max(-1.0, min(1.0, step))
        if abs(step) < 0.5:
            return float(centre)
    raise EvaluationError("the energy has no minimum near the guessed lattice constant")


def fit_birch(volumes: FloatArray, energies: FloatArray) -> EquationOfState:
    """Fit the third-order Birch equation, a cubic polynomial in V^(-2/3), by least squares.

    Args:
        volumes: Å³ per atom, (n,).
        energies: eV per atom, (n,).

    Raises:
        EvaluationError: The minimum is not inside the volumes.
    """
    x = volumes ** (-2 / 3)
    cubic = np.polynomial.Polynomial.fit(x, energies, 3)
    slope, curvature = cubic.deriv(1), cubic.deriv(2)
    roots = [root.real for root in slope.roots() if abs(root.imag) < 1e-9 * abs(root)]
    minima = [root for root in roots if x.min() < root < x.max() and curvature(root) > 0]
    if len(minima) != 1:
        raise EvaluationError("the volumes of the equation of state do not bracket its minimum")
    at = float(minima[0])
    volume = at**-1.5
    # dE/dx is 0 at the minimum, so d²E/dV² is d²E/dx² (dx/dV)².
    bulk_modulus = volume * curvature(at) * (-2 / 3 * volume ** (-5 / 3)) ** 2
    residual = math.sqrt(np.mean((energies - cubic(x)) ** 2))
    return EquationOfState(float(volume), float(cubic(at)), float(bulk_modulus / GPa), residual)


def _relax(atoms: Atoms) -> None:
    # Started from a curvature (eV/Å²) as stiff as these metals are, it needs half the steps.
    optimizer = LBFGS(atoms, logfile=None, alpha=15.0, maxstep=0.1)
    if not optimizer.run(fmax=_MAX_FORCE, steps=_MAX_RELAX_STEPS):
        raise EvaluationError(
            f"positions did not relax below {_MAX_FORCE} eV/Å in {_MAX_RELAX_STEPS} steps"
        )


class NearEMT(EMT):
    """ASE's EMT, which searches neighbours anew only when atoms came closer or moved.

    Searching costs three times as much as the energy, and ASE searches after each change of the
    cell. Neighbours found in the smallest cell hold for all larger ones: EMT looks up distances
    itself and drops pairs beyond its cut-off, so that the energies are the same.
    """

    def initialize(self, atoms: Atoms) -> None:
        """Set the potential up for these elements."""
        super().initialize(atoms)
        self.nl = _KeptNeighbours(self.nl)


class _KeptNeighbours:
    def __init__(self, search: Any) -> None:
        self._search = search
        self._volume = 0.0
        self._scaled = np.empty((0, 3))
        self._found: list[Any] = []

    def update(self, atoms: Atoms) -> None:
        scaled = atoms.get_scaled_positions(wrap=False)
        if self._found and atoms.get_volume() >= self._volume * (1 - 1e-12):
            moved = (scaled - self._scaled) @ atoms.cell.array
            if np.sqrt((moved**2).sum(axis=1)).max() < _SKIN:
                return
        self._search.update(atoms)
        self._found = [self._search.get_neighbors(i) for i in range(len(atoms))]
        self._volume, self._scaled = atoms.get_volume(), scaled

    def get_neighbors(self, index: int) -> Any:
        return self._found[index]


def _parameter_findings(
    definition: Definition, options: AlloyOptions, names: Sequence[str]
) -> list[Finding]:
    findings = list(missing_findings("evaluator 'ase'", inputs(definition)))
    for item in inputs(definition):
        if item.name not in ELEMENTS:
            message = f"evaluator 'ase' takes amounts of elements, and '{item.name}' is none it has"
            fix = did_you_mean(item.name, list(ELEMENTS))
            findings.append(error_at(item.path, message, fix))
        elif item.bounds is None or item.bounds[0] < 0:
            findings.append(error_at(item.path, f"the amount of {item.name} must be a number >= 0"))
    if options.elements is not None and sorted(options.elements) != sorted(names):
        findings.append(
            error_at(
                "evaluator.options.elements",
                f"elements {', '.join(options.elements)} are not the parameters {', '.join(names)}",
                "leave 'elements' out: the parameters say it",
            )
        )
    return findings


def _step_findings(definition: Definition, options: AlloyOptions) -> list[Finding]:
    """Warn where candidates lie between the compositions that a cell of so few atoms can have."""
    findings = []
    for i, parameter in enumerate(definition.parameters):
        if not isinstance(parameter, CompositionParameter):
            continue
        atom = parameter.total / options.atoms
        n_atoms = (parameter.step or 0.0) / atom
        if n_atoms >= 1 - 1e-9 and abs(n_atoms - round(n_atoms)) < 1e-6:
            continue
        message = (
            f"a cell of {options.atoms} atoms cannot hold every composition: each is rounded to"
            f" multiples of {atom:.10g}, and its outcomes are kept under what was asked for"
        )
        findings.append(warning_at(f"parameters[{i}].step", message, f"step: {atom:.10g}"))
    return findings


def _objective_findings(definition: Definition, options: AlloyOptions) -> list[Finding]:
    findings = []
    for i, objective in enumerate(definition.objectives):
        path = f"objectives[{i}]"
        if objective.name not in options.properties:
            message = f"evaluator 'ase' does not give '{objective.name}'"
            fix = did_you_mean(objective.name, list(options.properties))
            findings.append(error_at(f"{path}.name", message, fix))
        elif objective.unit is not None and objective.unit not in UNITS[objective.name]:
            unit = UNITS[objective.name][0]
            message = f"'{objective.name}' comes in {unit}, not in {objective.unit}"
            findings.append(warning_at(f"{path}.unit", message, f"unit: {unit}"))
    return findings
