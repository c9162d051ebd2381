"""What the parts of a definition must satisfy together, checked for every part that is sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from materia.mdl.condition_rules import judge_conditions, judge_reach
from materia.mdl.constraint_rules import Names, judge_constraint, judge_outcome_constraint
from materia.mdl.definition import Objective, Optimizer
from materia.mdl.finding import Findings
from materia.mdl.interval import Interval
from materia.mdl.parameter_rules import judge_parameter
from materia.mdl.places import Path, written
from materia.mdl.shape import PARAMETER_KINDS

MAX_NAMES = 200
"""Parameters and parts together."""

FOR_ONE = ("ei", "noisy_ei", "ucb", "pi", "thompson")
FOR_SEVERAL = ("ehvi", "noisy_ehvi", "parego")
"""Acquisition functions by the number of objectives that they are for."""

_MOST = 100  # entries of any list; a longer one has been reported already

Model = TypeVar("Model", bound=BaseModel)


def judge(data: Mapping[str, Any], findings: Findings) -> None:
    """Note what is wrong between the parts of a definition, and inside each sound part.

    Args:
        data: The definition with repairs, as `materia.mdl.shape.examine` returns it.
        findings: Receives what is wrong.
    """
    names = _names(data)
    _judge_names(data, names, findings)
    times = Counter(names.numbers)
    box: dict[str, Interval] = {}
    sound: dict[Path, Any] = {}
    for path, entry in _entries(data, "parameters"):
        model = PARAMETER_KINDS.get(str(entry.get("type")))
        parameter: Any = model and _valid(model, entry)
        if parameter is not None:
            sound[path] = parameter
            found = judge_parameter(parameter, path, findings)
            # A name that is declared twice has no bounds that could be relied on.
            box |= {name: bounds for name, bounds in found.items() if times[name] == 1}
    judge_conditions(sound, names, findings)
    for path, text in _expressions(data, "constraints"):
        if findings.is_full:
            return
        relation = judge_constraint(text, names, box, path, findings)
        if relation is not None:
            judge_reach(relation, sound.values(), path, findings)
    for path, text in _expressions(data, "outcome_constraints"):
        if findings.is_full:
            return
        judge_outcome_constraint(text, names, path, findings)
    _judge_objectives(data, findings)
    optimizer = _valid(Optimizer, data.get("optimizer", {}))
    if optimizer is not None:
        _judge_optimizer(optimizer, len(names.objectives), findings)
        _judge_direct(optimizer, data, findings)


def _valid(model: type[Model], value: Any) -> Model | None:
    """Return one part as its model, or None; its shape has been reported already."""
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _entries(data: Mapping[str, Any], *path: str | int) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the mappings of a list with their paths; anything else has been reported already."""
    found: Any = data
    for step in path:
        found = found.get(step) if isinstance(step, str) else found[step]
    for i, entry in enumerate(found[:_MOST] if isinstance(found, list) else []):
        if isinstance(entry, dict):
            yield (*path, i), entry


def _expressions(data: Mapping[str, Any], section: str) -> Iterator[tuple[Path, str]]:
    for path, entry in _entries(data, section):
        text = entry.get("expression")
        if isinstance(text, str) and text:
            yield (*path, "expression"), text


def _named(data: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield every declared name with the path of what carries it."""
    for section in ("parameters", "objectives"):
        for path, entry in _entries(data, section):
            if _is_named(entry):
                yield path, entry["name"]
            if section == "parameters":
                for inner, part in _entries(data, *path, "parts"):
                    if _is_named(part):
                        yield inner, part["name"]


def _bearers(data: Mapping[str, Any]) -> Iterator[Any]:
    """Yield whatever should carry a name, None where a list is missing."""
    for section in ("parameters", "objectives"):
        entries = data.get(section)
        for entry in entries if isinstance(entries, list) else [None]:
            yield entry
            parts = entry.get("parts", []) if isinstance(entry, dict) else []
            yield from parts if isinstance(parts, list) else [None]


def _is_named(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str)


def _names(data: Mapping[str, Any]) -> Names:
    names = Names()
    names.is_complete = all(_is_named(entry) for entry in _bearers(data))
    for path, name in _named(data):
        entry = data[str(path[0])][path[1]]
        if path[0] == "objectives":
            names.objectives.append(name)
        elif len(path) > 2 or entry.get("type") not in ("categorical", "composition"):
            names.numbers.append(name)
        elif entry["type"] == "categorical":
            names.categories.append(name)
        else:
            parts = [part.get("name") for _, part in _entries(data, *path, "parts")]
            names.groups[name] = [part for part in parts if isinstance(part, str)]
    return names


def _judge_names(data: Mapping[str, Any], names: Names, findings: Findings) -> None:
    first: dict[str, Path] = {}
    for path, name in _named(data):
        if name not in first:
            first[name] = path
            continue
        line = findings.root and findings.root.at((*first[name], "name")).line
        where = written(first[name]) + (f" on line {line}" if line else "")
        what = f"the name '{name[:64]}' is used twice, first by {where}"
        fix = "parameters, parts and objectives need names of their own; rename one"
        findings.error((*path, "name"), what, fix)
    n_names = len(names.numbers) + len(names.categories)
    if n_names > MAX_NAMES:
        what = f"there are {n_names} parameters and parts together; at most {MAX_NAMES} are allowed"
        findings.error(("parameters",), what, "leave out those that matter least")


def _judge_objectives(data: Mapping[str, Any], findings: Findings) -> None:
    for path, entry in _entries(data, "objectives"):
        objective = _valid(Objective, entry)
        if objective is None or objective.target is None:
            continue
        if objective.direction == "maximize":
            what = "'target' asks to match a value and 'direction: maximize' to exceed it"
            findings.error((*path, "direction"), what, "remove direction, or remove target")
        if objective.reference_point == objective.target:
            what = "the reference point equals the target, so no outcome can be better than it"
            findings.warn(
                (*path, "reference_point"), what, "move it to the worst value of interest"
            )


def _judge_acquisition(name: str, n_objectives: int, findings: Findings) -> None:
    if name in FOR_ONE and n_objectives > 1:
        what = f"acquisition {name} is for one objective, but there are {n_objectives}"
        fix = f"write acquisition: {', '.join(FOR_SEVERAL)}, or auto"
        findings.error(("optimizer", "acquisition"), what, fix)
    if name in FOR_SEVERAL and n_objectives == 1:
        what = f"acquisition {name} is for several objectives, but there is one"
        fix = f"write acquisition: {', '.join(FOR_ONE)}, or auto"
        findings.error(("optimizer", "acquisition"), what, fix)


def _judge_direct(optimizer: Optimizer, data: Mapping[str, Any], findings: Findings) -> None:
    if optimizer.surrogate != "none":
        return
    here = ("optimizer", "surrogate")
    if optimizer.acquisition != "auto":
        what = f"acquisition {optimizer.acquisition} needs a surrogate, but surrogate is none"
        findings.error(("optimizer", "acquisition"), what, "remove acquisition, or surrogate: none")
    evaluator = data.get("evaluator")
    is_table = isinstance(evaluator, dict) and evaluator.get("type") == "table"
    if is_table or data.get("candidates") is not None:
        what = "rows of a table cannot be evolved, but surrogate is none"
        findings.error(here, what, "write surrogate: auto")


def _judge_optimizer(optimizer: Optimizer, n_objectives: int, findings: Findings) -> None:
    budget = optimizer.budget
    _judge_acquisition(optimizer.acquisition, n_objectives, findings)
    if optimizer.batch_size > budget and "batch_size" in optimizer.model_fields_set:
        what = f"a batch of {optimizer.batch_size} is more than the budget of {budget}"
        findings.warn(("optimizer", "batch_size"), what, f"lower it to at most {budget}")
    learning, replicates = optimizer.active_learning, optimizer.replicates
    if replicates > budget:
        what = f"{replicates} replicates of one point are more than the budget of {budget}"
        fix = "the budget counts every evaluation: lower replicates or raise optimizer.budget"
        findings.error(("optimizer", "replicates"), what, fix)
    elif (n_initial := learning.initial_samples or 0) * replicates > budget:
        each = f", evaluated {replicates} times each," if replicates > 1 else ""
        what = f"{n_initial} initial samples{each} are more than the budget of {budget}"
        most = budget // replicates
        fix = f"lower initial_samples to at most {most} or raise optimizer.budget"
        findings.error(("optimizer", "active_learning", "initial_samples"), what, fix)
    has_threshold = learning.convergence_threshold != type(learning)().convergence_threshold
    if has_threshold and learning.convergence_patience is None:
        here = ("optimizer", "active_learning", "convergence_threshold")
        what = "the threshold has no effect without convergence_patience"
        findings.warn(here, what, "add convergence_patience: 5, for example")
