"""Black boxes behind one interface: a definition in, an `Evaluator` out.

`check` reports everything that is wrong with the choice, `build` makes the evaluator. An evaluator
is one file here and one line in `REGISTRY`, or the entry point ``vendor.name`` of the group
`GROUP` in another package; its module is loaded when it is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from materia.errors import (
    DefinitionError,
    InfeasibleError,
    MateriaError,
    MissingExtraError,
    NotFoundError,
    StateError,
)
from materia.evaluators.base import Evaluation, Evaluator, Options, error_at
from materia.evaluators.places import Places
from materia.mdl.definition import Definition, EvaluatorChoice
from materia.mdl.finding import Finding, as_error
from materia.mdl.suggest import did_you_mean

if TYPE_CHECKING:
    from materia.evaluators.warm_start import Earlier

__all__ = [
    "GROUP",
    "REGISTRY",
    "Evaluation",
    "Evaluator",
    "build",
    "check",
    "check_choice",
    "earlier_of",
    "kind_of",
    "known",
    "missing_extra",
    "pin",
    "pool_of",
    "seed_for",
    "try_out",
]


class Entry(NamedTuple):
    """Where an evaluator lives, and the extra (with the package it brings) that it needs."""

    module: str
    class_name: str
    extra: str | None = None
    package: str | None = None


REGISTRY: dict[str, Entry] = {
    "ase": Entry("materia.evaluators.ase", "AlloyEvaluator", extra="ase", package="ase"),
    "expression": Entry("materia.evaluators.expression", "ExpressionEvaluator"),
    "function": Entry("materia.evaluators.functions", "FunctionEvaluator"),
    "http": Entry("materia.evaluators.http", "HttpEvaluator"),
    "manual": Entry("materia.evaluators.manual", "ManualEvaluator"),
    "model": Entry("materia.evaluators.model", "ModelEvaluator", extra="ml", package="skops"),
    "table": Entry("materia.evaluators.table", "TableEvaluator"),
}

GROUP = "materia.evaluators"
"""Group of the entry points of evaluators that other packages bring."""

# Keeps the evaluators' random streams apart from those that the engine draws from the same seed.
_EVALUATION_STREAM = 0x45564C


def seed_for(campaign_seed: int, candidate_number: int) -> int:
    """Return the seed (32 bits) of a candidate's evaluation, the same at every attempt."""
    sequence = np.random.SeedSequence([campaign_seed, candidate_number, _EVALUATION_STREAM])
    return int(sequence.generate_state(1)[0])


def build(
    definition: Definition, *, data_roots: Sequence[Path], base_dir: Path | None = None
) -> Evaluator:
    """Return the evaluator that a definition chooses.

    Args:
        data_roots: Folders below which the evaluator may read files.
        base_dir: Folder that relative paths start from; the first data root if None.

    Raises:
        DefinitionError: With all findings of `check`.
        MissingExtraError: The evaluator's package is not installed.
    """
    if definition.evaluator is None:
        raise DefinitionError(
            "the definition names no evaluator",
            "add for example `evaluator: {type: function, options: {name: branin_currin}}`;"
            f" types are {', '.join(known())}, and of 'manual' people tell the results",
            path="evaluator",
        )
    if (missing := missing_extra(definition.evaluator.type)) is not None:
        raise missing
    # Earlier data were read when the campaign began; its evaluator has nothing to do with them.
    found = _findings(definition, Places.of(data_roots, base_dir))
    if any(finding.level == "error" for finding in found):
        raise as_error(found)
    kind = kind_of(definition.evaluator.type)
    options = kind.options_model.model_validate(definition.evaluator.options)
    return kind(definition, options, Places.of(data_roots, base_dir))


def try_out(
    definition: Definition,
    points: Iterable[Mapping[str, Any]],
    *,
    data_roots: Sequence[Path],
    base_dir: Path | None = None,
) -> list[Finding]:
    """Return what trying the chosen evaluator shows, if that costs nothing.

    Args:
        definition: One in which `check` finds no error.
        points: Params all over what may be asked; read only by evaluators that are tried.
    """
    choice = definition.evaluator
    if choice is None or not kind_of(choice.type).is_tried:
        return []
    evaluator = build(definition, data_roots=data_roots, base_dir=base_dir)
    return evaluator.trial_findings(points)


def earlier_of(
    definition: Definition, *, data_roots: Sequence[Path], base_dir: Path | None = None
) -> Earlier | None:
    """Return the measurements that a campaign begins with, None when it begins with none.

    Raises:
        MateriaError: The file cannot be used; says why.
    """
    if definition.warm_start is None:
        return None
    from materia.evaluators import warm_start

    return warm_start.read(definition, Places.of(data_roots, base_dir))


def pin(
    definition: Definition, *, data_roots: Sequence[Path], base_dir: Path | None = None
) -> Definition:
    """Return the definition with the content of its evaluator's files named; as for `build`."""
    choice = definition.evaluator
    if choice is None or kind_of(choice.type).pinned is Evaluator.pinned:
        return definition
    options = build(definition, data_roots=data_roots, base_dir=base_dir).pinned()
    if options is None:
        return definition
    pinned = choice.model_copy(update={"options": options})
    return definition.model_copy(update={"evaluator": pinned})


def pool_of(
    definition: Definition, *, data_roots: Sequence[Path], base_dir: Path | None = None
) -> list[dict[str, Any]] | None:
    """Return the only params that a campaign may ask, None when its space is open.

    They come from the evaluator, such as `table`, or from the file that `candidates` names.

    Raises:
        MateriaError: The file cannot be used; says why.
    """
    if definition.candidates is not None:
        # Loaded here so that a definition without candidates costs no numerics of the engine.
        from materia.evaluators.table import read_candidates

        return read_candidates(definition, Places.of(data_roots, base_dir)).rows
    if definition.evaluator is None:
        return None
    return build(definition, data_roots=data_roots, base_dir=base_dir).pool()


def check(
    definition: Definition, *, data_roots: Sequence[Path], base_dir: Path | None = None
) -> list[Finding]:
    """Return every finding on the evaluator and on files that are named; as for `build`."""
    places = Places.of(data_roots, base_dir)
    return [*_earlier_findings(definition, places), *_findings(definition, places)]


def _findings(definition: Definition, places: Places) -> list[Finding]:
    return [*_candidate_findings(definition, places), *_evaluator_findings(definition, places)]


def _earlier_findings(definition: Definition, places: Places) -> list[Finding]:
    if definition.warm_start is None:
        return []
    from materia.evaluators import warm_start

    return warm_start.findings(definition, places)


def _candidate_findings(definition: Definition, places: Places) -> list[Finding]:
    if definition.candidates is None:
        return []
    from materia.evaluators.table import left_out_findings, read_candidates

    try:
        table = read_candidates(definition, places)
    except InfeasibleError:
        return []  # the search space itself is at fault, and reported as such
    except MateriaError as error:
        return [error_at("candidates", error.message, error.hint)]
    return left_out_findings("candidates", definition.candidates, table)


def check_choice(choice: EvaluatorChoice) -> list[Finding]:
    """Return the findings on type and options alone, without the rest of the definition."""
    if (missing := missing_extra(choice.type)) is not None:
        return [error_at("evaluator.type", missing.message, missing.hint)]
    try:
        model = kind_of(choice.type).options_model
    except (NotFoundError, StateError) as unusable:
        return [error_at("evaluator.type", unusable.message, unusable.hint)]
    try:
        model.model_validate(choice.options)
    except ValidationError as invalid:
        return _option_findings(invalid, model, choice.type)
    return []


def _evaluator_findings(definition: Definition, places: Places) -> list[Finding]:
    choice = definition.evaluator
    if choice is None:
        return []
    findings = check_choice(choice)
    if findings:
        return findings
    kind = kind_of(choice.type)
    options = kind.options_model.model_validate(choice.options)
    return kind.findings(definition, options, places)


def missing_extra(type_: str) -> MissingExtraError | None:
    """Return what is missing to use an evaluator of this package, None when nothing is."""
    entry = REGISTRY.get(type_)
    if entry is None or entry.package is None or find_spec(entry.package) is not None:
        return None
    return MissingExtraError(str(entry.extra), f"evaluator '{type_}'")


def known() -> list[str]:
    """Return the types of evaluators: those of this package, then those of installed plug-ins."""
    return [*sorted(REGISTRY), *sorted(point.name for point in entry_points(group=GROUP))]


@lru_cache(maxsize=64)
def kind_of(type_: str) -> type[Evaluator]:
    """Return the class of a type of evaluators.

    Raises:
        NotFoundError: There is none of that type.
        StateError: It is a plug-in that cannot be used.
    """
    if type_ in REGISTRY:
        entry = REGISTRY[type_]
        kind: type[Evaluator] = getattr(import_module(entry.module), entry.class_name)
        return kind
    points = list(entry_points(group=GROUP, name=type_)) if "." in type_ else []
    if not points:
        message = f"there is no evaluator '{type_}'"
        if "." in type_:
            raise NotFoundError(message, "install the package that brings it, on workers as well")
        raise NotFoundError(message, did_you_mean(type_, known()))
    try:
        found = points[0].load()
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise StateError(f"the plug-in '{type_}' cannot be loaded: {what}") from error
    if not (isinstance(found, type) and issubclass(found, Evaluator)):
        raise StateError(
            f"the plug-in '{type_}' is no evaluator", "its entry point names a class of Evaluator"
        )
    return found


def _option_findings(
    error: ValidationError, model: type[Options], evaluator_type: str
) -> list[Finding]:
    findings: dict[str, Finding] = {}
    allowed = sorted(model.model_fields)
    if not allowed and model.model_config.get("extra") == "forbid":
        message = f"evaluator '{evaluator_type}' takes no options"
        return [error_at("evaluator.options", message, "remove 'options'")]
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0]) if detail["loc"] else ""
        path = f"evaluator.options.{name}"
        fix: str | None = None
        if detail["type"] == "extra_forbidden":
            message = f"evaluator '{evaluator_type}' has no option '{name}'"
            fix = did_you_mean(name, allowed)
        elif detail["type"] == "missing":
            message = f"evaluator '{evaluator_type}' needs the option '{name}'"
            fix = model.model_fields[name].description if name in model.model_fields else None
        else:
            message = f"option '{name}': {_lower_first(detail['msg'])}"
        # A value that may be one of several kinds is reported once for each kind.
        findings.setdefault(path, error_at(path, message, fix))
    return list(findings.values())


def _lower_first(text: Any) -> str:
    return str(text)[:1].lower() + str(text)[1:]
