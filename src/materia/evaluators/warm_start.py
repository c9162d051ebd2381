"""Earlier measurements from a CSV or Parquet file, which a campaign begins with.

Each row holds every parameter and every objective, and may hold standard errors; rows with equal
parameters are replicates, and all of them are told. A row that cannot be used is named by its line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from materia.engine.constraints import Constraints
from materia.engine.space import SearchSpace
from materia.errors import DataError, DefinitionError, InfeasibleError, MateriaError
from materia.evaluators import table
from materia.evaluators.base import error_at, inputs, warning_at
from materia.evaluators.places import Places
from materia.mdl.definition import Definition, WarmStart
from materia.mdl.finding import Finding
from materia.mdl.suggest import did_you_mean

MAX_ROWS = 10_000
MANY_ROWS = 2000
"""From so many rows on, each fit of the surrogate takes minutes."""

HERE = "warm_start"


@dataclass(frozen=True)
class Earlier:
    """What was measured before a campaign.

    Attributes:
        path: Of the file.
        sha256: Of its content.
        rows: {"params", "outcomes"} of each usable row, in the order of the file.
        faults: Why other rows are not among them, with line numbers.
    """

    path: Path
    sha256: str
    rows: list[dict[str, Any]]
    faults: list[str]


def findings(definition: Definition, places: Places) -> list[Finding]:
    """Return what is wrong with the file and its rows, all at once."""
    choice = _choice(definition)
    known = [item.name for item in inputs(definition)]
    known += [objective.name for objective in definition.objectives]
    found = [
        error_at(f"{HERE}.columns.{name}", f"nothing is named '{name}'", did_you_mean(name, known))
        for name in choice.columns
        if name not in known
    ]
    objectives = [objective.name for objective in definition.objectives]
    found += [
        error_at(
            f"{HERE}.sem.{name}", f"there is no objective '{name}'", did_you_mean(name, objectives)
        )
        for name in choice.sem
        if name not in objectives
    ]
    path = f"{HERE}.dataset"
    try:
        earlier = read(definition, places)
    except InfeasibleError:
        return found  # the search space itself is at fault, and reported as such
    except MateriaError as error:
        place = getattr(error, "path", None) or path
        return [*found, error_at(place, error.message, error.hint)]
    if earlier.faults:
        n_skipped = len(earlier.faults)
        count = "1 row" if n_skipped == 1 else f"{n_skipped} rows"
        message = f"{count} of '{choice.dataset}' will not be used: {table.listed(earlier.faults)}"
        found.append(warning_at(path, message, "correct them to begin with more"))
    if len(earlier.rows) > MANY_ROWS:
        message = f"'{choice.dataset}' has {len(earlier.rows)} rows; fits will take minutes each"
        found.append(warning_at(path, message, f"choose {MANY_ROWS} rows or fewer"))
    return found


def read(definition: Definition, places: Places) -> Earlier:
    """Return the rows of the dataset that `warm_start` names.

    Raises:
        AccessError: The file lies outside the allowed folders.
        DefinitionError: It is another than the one that was meant.
        DataError: It does not exist, or holds rows that cannot be used and are not to be skipped.
    """
    return read_file(definition, places.find(_choice(definition).dataset))


def read_file(definition: Definition, path: Path) -> Earlier:
    """Return the rows of a file, as `read`, whatever the definition calls it."""
    return usable(definition, look(definition, path))


def usable(definition: Definition, earlier: Earlier) -> Earlier:
    """Return what was found in a file where a campaign can begin with it, as `read`."""
    choice = _choice(definition)
    if choice.sha256 not in (None, earlier.sha256):
        raise DefinitionError(
            f"'{choice.dataset}' has changed: its hash is no longer the one given",
            "remove 'sha256' to use the file as it is now, or restore the one that was meant",
            path=f"{HERE}.sha256",
        )
    if earlier.faults and choice.bad_rows == "reject":
        raise DataError(
            f"{len(earlier.faults)} of {len(earlier.faults) + len(earlier.rows)} rows of "
            f"'{choice.dataset}' cannot be used: {table.listed(earlier.faults)}",
            "correct or remove these rows, or leave them out by bad_rows: skip",
        )
    if not earlier.rows:
        why = table.listed(earlier.faults) or "it holds a header and no rows"
        raise DataError(f"no row of '{choice.dataset}' can be used: {why}")
    if len(earlier.rows) > MAX_ROWS:
        raise DataError(
            f"'{choice.dataset}' has {len(earlier.rows)} rows; at most {MAX_ROWS} can be used",
            "choose those that matter most",
        )
    return earlier


def _choice(definition: Definition) -> WarmStart:
    assert definition.warm_start is not None
    return definition.warm_start


def look(definition: Definition, path: Path) -> Earlier:
    """Return what is in a file, whether a campaign can begin with it or not.

    Raises:
        DataError: It is no table, or lacks a column.
    """
    choice = _choice(definition)
    objectives = [objective.name for objective in definition.objectives]
    names = [*(item.name for item in inputs(definition)), *objectives]
    headings = {name: choice.columns.get(name, name) for name in names}
    errors = {_sem(name): heading for name, heading in choice.sem.items() if name in objectives}
    headings |= errors
    lines = table.records(path, choice.delimiter)
    places = table.locate(next(lines)[1], headings, path, choice.delimiter)
    space = SearchSpace(definition)
    constraints = Constraints(definition, space)
    rows: list[dict[str, Any]] = []
    faults: list[str] = []
    for line, cells in lines:
        given = {name: cells[places[name]] for name in headings}
        try:
            params, outcomes = _row(definition, given, line)
        except DataError as error:
            faults.append(error.message)
            continue
        if fault := table.fault_of(params, space, constraints):
            faults.append(f"line {line}: {fault}")
        else:
            rows.append({"params": params, "outcomes": outcomes})
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Earlier(path, digest, rows, faults)


def _row(
    definition: Definition, cells: Mapping[str, str], line: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return params and outcomes of one row; `DataError` with all that is wrong with its cells."""
    params: dict[str, Any] = {}
    outcomes: dict[str, Any] = {}
    faults: list[str] = []
    for item in inputs(definition):
        try:
            params[item.name] = table.choice_of(item, cells[item.name], line)
        except DataError as error:
            faults.append(error.message)
    for objective in definition.objectives:
        try:
            outcomes[objective.name] = _outcome(cells, objective.name, line)
        except DataError as error:
            faults.append(error.message)
    if faults:
        raise DataError("; ".join(faults))
    return params, outcomes


def _outcome(cells: Mapping[str, str], name: str, line: int) -> float | list[float]:
    """Return a value, or [mean, standard error] where the row has one."""
    mean, heading = table.number_of(cells[name], name, line), _sem(name)
    if not cells.get(heading, "").strip():
        return mean
    error = table.number_of(cells[heading], heading, line)
    if error < 0:
        raise DataError(f"line {line}: the {heading} is negative")
    return [mean, error]


def _sem(name: str) -> str:
    return f"standard error of {name}"
