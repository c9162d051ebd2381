"""Everything that can be said about a definition before anything is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from materia.errors import InfeasibleError
from materia.mdl import yaml
from materia.mdl.definition import (
    CategoricalParameter,
    CompositionParameter,
    Definition,
    EvaluatorChoice,
)
from materia.mdl.expression import parse
from materia.mdl.finding import Finding, Findings, as_error
from materia.mdl.plain import TooMuchError
from materia.mdl.validation import Source, check, locate

Params = dict[str, Any]

N_TRIALS = 512
"""At so many points an evaluator is tried until it gives a result."""
MAX_NAMED = 8
"""Names that a message lists."""
FEW = 1e-3
"""Below this feasible share of the search space a warning is given."""


def validate(
    source: Source, *, data_roots: Sequence[Path], base_dir: Path | None = None
) -> tuple[Definition | None, list[Finding]]:
    """Return the definition, None when it has errors, and all findings in order of lines.

    Args:
        source: YAML or JSON text, or the data itself.
        data_roots: Folders below which the definition may name files.
        base_dir: Folder that relative paths start from; the first data root if None.
    """
    from materia import evaluators

    definition, findings = check(source)
    if definition is None:
        return None, _in_order([*findings, *locate(_choice_findings(source), source)])
    found = _space_findings(definition)
    found += evaluators.check(definition, data_roots=data_roots, base_dir=base_dir)
    if not _has_errors(found):
        points = _points(definition, data_roots, base_dir)
        found += evaluators.try_out(definition, points, data_roots=data_roots, base_dir=base_dir)
    findings = _in_order([*findings, *locate(found, source)])
    return (None if _has_errors(findings) else definition), findings


def require(
    source: Source, *, data_roots: Sequence[Path], base_dir: Path | None = None
) -> Definition:
    """Return the definition; arguments as for `validate`.

    Raises:
        DefinitionError: It has errors; `findings` holds all of them, warnings included.
    """
    definition, findings = validate(source, data_roots=data_roots, base_dir=base_dir)
    if definition is None:
        raise as_error(findings)
    return definition


def _has_errors(findings: list[Finding]) -> bool:
    return any(finding.level == "error" for finding in findings)


def _in_order(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: finding.line or 0)


def _choice_findings(source: Source) -> list[Finding]:
    """Check type and options of an evaluator whose definition has errors elsewhere."""
    from materia import evaluators

    try:
        read = yaml.read(source, Findings(), {}) if isinstance(source, str | bytes) else source
        choice = EvaluatorChoice.model_validate(read["evaluator"])
    except (KeyError, TypeError, TooMuchError, ValidationError):
        return []  # absent, or reported with the shape of the definition
    return evaluators.check_choice(choice)


def _points(
    definition: Definition, data_roots: Sequence[Path], base_dir: Path | None
) -> Iterator[Params]:
    """Yield params all over what a campaign may ask."""
    from materia import evaluators
    from materia.engine.constraints import Constraints
    from materia.engine.sampling import Design
    from materia.engine.space import SearchSpace

    if definition.candidates is not None:
        pool = evaluators.pool_of(definition, data_roots=data_roots, base_dir=base_dir) or []
        yield from pool[:: len(pool) // N_TRIALS + 1]
        return
    space = SearchSpace(definition)
    design = Design(space, Constraints(definition, space), definition.optimizer.seed)
    for x in islice(design, N_TRIALS):
        yield from space.decode(x[None])


def _culprits(definition: Definition) -> list[Finding]:
    """Return the constraints without each of which there would be something to choose."""
    from materia.engine.sampling import feasible_fraction

    findings = []
    for i, constraint in enumerate(definition.constraints):
        others = [other for j, other in enumerate(definition.constraints) if j != i]
        try:
            feasible_fraction(definition.model_copy(update={"constraints": others}), N_TRIALS)
        except InfeasibleError:
            continue
        against = "the other constraints and the bounds" if others else "the bounds"
        what = f"no point of the search space satisfies '{constraint.expression}' together with"
        fix = f"loosen it, or {_bounds_of(definition, constraint.expression)}"
        path = f"constraints[{i}].expression"
        findings.append(Finding("error", path, None, f"{what} {against}", fix))
    return findings


def _bounds_of(definition: Definition, expression: str) -> str:
    """Return what limits the names of a constraint: their bounds, and the sums they are part of."""
    names = parse(expression).names
    limits = []
    for parameter in definition.parameters:
        if isinstance(parameter, CompositionParameter):
            if names.isdisjoint(part.name for part in parameter.parts):
                continue
            bounds = ", ".join(
                f"{part.name} {part.bounds[0]:g} to {part.bounds[1]:g}"
                for part in parameter.parts[:MAX_NAMED]
                if part.bounds
            )
            limits.append(
                f"the parts of {parameter.name}, which sum to {parameter.total:g}"
                + (f" ({bounds})" if bounds else "")
            )
        elif parameter.name in names and not isinstance(parameter, CategoricalParameter):
            lower, upper = parameter.bounds
            limits.append(f"{parameter.name} ({lower:g} to {upper:g})")
    return f"widen the bounds of {'; '.join(limits[:MAX_NAMED])}"


def _never_findings(definition: Definition) -> list[Finding]:
    """Return a warning for each conditional parameter that constraints leave no point with."""
    from materia.engine.sampling import never_feasible

    return [
        Finding(
            "warning",
            f"parameters[{i}].when",
            None,
            f"no point that has '{definition.parameters[i].name}' satisfies all constraints",
            "loosen them, or remove the parameter",
        )
        for i in never_feasible(definition)
    ]


def _space_findings(definition: Definition) -> list[Finding]:
    """Check that something satisfies the constraints, by quasi-random points."""
    from materia.engine.sampling import feasible_fraction

    n_points = 4096
    try:
        fraction = feasible_fraction(definition, n_points)
    except InfeasibleError as error:
        culprits = [] if error.path else _culprits(definition)
        if culprits:
            return culprits
        path = error.path or ("constraints" if definition.constraints else "parameters")
        return [Finding("error", path, None, error.message, error.hint)]
    # Rows of a table are counted by whoever reads it.
    if definition.candidates is not None:
        return []
    never = _never_findings(definition)
    if fraction >= FEW:
        return never
    share = f"{fraction:.2g}" if fraction > 0 else f"less than {1 / n_points:.1g}"
    return [
        *never,
        Finding(
            "warning",
            "constraints" if definition.constraints else "parameters",
            None,
            f"only {share} of the search space satisfies everything",
            "narrow the bounds to where the constraints hold; equations need a composition",
        ),
    ]
