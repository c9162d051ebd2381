"""Evaluator `table`: a file of measured rows; a campaign over it asks only those rows.

Each row holds every parameter and every objective. Rows with equal parameters are replicates and
are averaged. Rows outside the declared search space, or against a constraint, are left out and
reported.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pydantic import Field

from materia.data import require_polars
from materia.engine.constraints import Constraints
from materia.engine.space import SearchSpace
from materia.errors import DataError, EvaluationError, InfeasibleError, MateriaError
from materia.evaluators.base import (
    Evaluation,
    Evaluator,
    Input,
    Options,
    error_at,
    inputs,
    warning_at,
)
from materia.evaluators.places import Places
from materia.mdl.definition import Definition
from materia.mdl.finding import Finding
from materia.mdl.suggest import did_you_mean

PARQUET = ".parquet"
MAX_BYTES = 64 * 2**20
MAX_ROWS = 100_000
MAX_COLUMNS = 1000
MAX_FAULTS = 5
"""Faulty rows described one by one; the rest are counted."""

Params = dict[str, Any]


class TableOptions(Options):
    """Options of the evaluator `table`."""

    file: str = Field(description="path of a CSV or Parquet file, relative to the definition")
    columns: dict[str, str] = Field(
        default_factory=dict, description="heading of a parameter or objective, where it differs"
    )
    delimiter: str = Field(",", min_length=1, max_length=1)


@dataclass(frozen=True)
class Table:
    """Rows of a file inside the search space, replicates together.

    Attributes:
        rows: Distinct params in the order of the file.
        outcomes: For each of `rows`, the outcomes of its replicates.
        left_out: Why rows of the file are not among them, with line numbers.
        n_left_out: How many rows that concerns; `left_out` describes the first few.
    """

    rows: list[Params]
    outcomes: list[list[dict[str, float]]]
    left_out: list[str]
    n_left_out: int


class TableEvaluator(Evaluator):
    """Looks outcomes up; there is nothing else that it could answer."""

    options_model = TableOptions
    cheap = True

    def __init__(self, definition: Definition, options: TableOptions, places: Places) -> None:
        super().__init__(definition, options, places)
        table = read_table(definition, options, places)
        self._rows = table.rows
        self._names = list(table.rows[0])
        self._outcomes = {
            self._key(row): replicates
            for row, replicates in zip(table.rows, table.outcomes, strict=True)
        }

    @classmethod
    def findings(
        cls, definition: Definition, options: TableOptions, places: Places
    ) -> list[Finding]:
        """Read the file and say what is wrong with it."""
        path = "evaluator.options.file"
        known = [item.name for item in inputs(definition)]
        known += [objective.name for objective in definition.objectives]
        findings = [
            error_at(f"evaluator.options.columns.{name}", f"nothing is named '{name}'", fix)
            for name in options.columns
            if name not in known
            for fix in [did_you_mean(name, known)]
        ]
        try:
            table = read_table(definition, options, places)
        except InfeasibleError:
            return findings  # the search space itself is at fault, and reported as such
        except MateriaError as error:
            return [*findings, error_at(path, error.message, error.hint)]
        return [*findings, *left_out_findings(path, options.file, table)]

    def evaluate(self, params: Mapping[str, Any], *, seed: int) -> Evaluation:
        """Return the mean over the replicates; deterministic, the seed is not used.

        The metadata holds the number of replicates and the sample standard deviation of each
        objective when there are at least two.
        """
        replicates = self._outcomes.get(self._key(params))
        if replicates is None:
            raise EvaluationError(
                f"{dict(params)} is no row of '{self.options.file}'",
                "a campaign over a table can ask only its rows",
            )
        by_objective = {name: [r[name] for r in replicates] for name in self.objective_names}
        metadata: dict[str, Any] = {"replicates": len(replicates)}
        if len(replicates) > 1:
            metadata["std"] = {name: stdev(values) for name, values in by_objective.items()}
        return Evaluation({name: fmean(v) for name, v in by_objective.items()}, metadata)

    def pool(self) -> list[Params]:
        """Return the distinct rows in the order of the file."""
        return [dict(row) for row in self._rows]

    def _key(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(params.get(name) for name in self._names)


def left_out_findings(path: str, file: str, table: Table) -> list[Finding]:
    """Return a warning when rows of the file will never be asked."""
    if not table.n_left_out:
        return []
    more = ", …" if table.n_left_out > len(table.left_out) else ""
    count = "1 row" if table.n_left_out == 1 else f"{table.n_left_out} rows"
    message = f"{count} of '{file}' will not be asked"
    fix = "widen the search space to include them"
    return [warning_at(path, f"{message}: {'; '.join(table.left_out)}{more}", fix)]


def read_candidates(definition: Definition, places: Places) -> Table:
    """Return the rows of the file that `candidates` names; its headings are the parameters.

    Raises:
        MateriaError: The file cannot be used; says why.
    """
    assert definition.candidates is not None
    path = places.find(definition.candidates)
    headings = {item.name: item.name for item in inputs(definition)}
    return _read(definition, path, headings, [], ",")


def read_table(definition: Definition, options: TableOptions, places: Places) -> Table:
    """Return the measured rows of a file.

    Raises:
        AccessError: The file lies outside the allowed folders.
        DataError: It does not exist or cannot be used; says where.
    """
    objectives = [objective.name for objective in definition.objectives]
    names = [*(item.name for item in inputs(definition)), *objectives]
    headings = {name: options.columns.get(name, name) for name in names}
    path = places.find(options.file)
    return _read(definition, path, headings, objectives, options.delimiter)


def _read(
    definition: Definition,
    path: Path,
    headings: Mapping[str, str],
    objectives: Sequence[str],
    delimiter: str,
) -> Table:
    lines = records(path, delimiter)
    columns = locate(next(lines)[1], headings, path, delimiter)
    declared, space = list(inputs(definition)), SearchSpace(definition)
    constraints = Constraints(definition, space)
    rows: dict[tuple[Any, ...], tuple[Params, list[dict[str, float]]]] = {}
    faults: list[str] = []
    left_out: list[str] = []
    for line, cells in lines:
        try:
            params = {i.name: choice_of(i, cells[columns[i.name]], line) for i in declared}
            outcomes = {name: number_of(cells[columns[name]], name, line) for name in objectives}
        except DataError as error:
            faults.append(error.message)
            continue
        if fault := fault_of(params, space, constraints):
            left_out.append(f"line {line}: {fault}")
            continue
        rows.setdefault(tuple(params.values()), (params, []))[1].append(outcomes)
    if faults:
        raise DataError(f"'{path.name}': {listed(faults)}", "correct or remove these rows")
    if not rows:
        why = listed(left_out) if left_out else "it holds a header and no rows"
        raise DataError(f"no row of '{path.name}' can be used: {why}")
    return Table(
        rows=[params for params, _ in rows.values()],
        outcomes=[replicates for _, replicates in rows.values()],
        left_out=left_out[:MAX_FAULTS],
        n_left_out=len(left_out),
    )


def listed(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
    return "; ".join(faults[:MAX_FAULTS]) + more


def records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of the header and of every row that is not blank.

    Rows of Parquet are numbered as if they were lines below a header.
    """
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"'{path.name}' is larger than {MAX_BYTES // 2**20} MB")
    if path.suffix.lower() == PARQUET:
        return _parquet_records(path)
    return _csv_records(path, delimiter)


def _parquet_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    require_polars("reading Parquet")
    import polars as pl

    name = path.name
    try:
        rows = pl.scan_parquet(path)
        header = rows.collect_schema().names()
        if len(header) > MAX_COLUMNS:
            raise DataError(f"'{name}' has more than {MAX_COLUMNS} columns")
        # The number of rows stands in the file's own description: nothing is read for it.
        if rows.select(pl.len()).collect().item() > MAX_ROWS:
            raise DataError(f"'{name}' has more than {MAX_ROWS} rows")
        frame = rows.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise DataError(f"'{name}' cannot be read as Parquet: {reason}") from None
    yield 1, header
    for line, values in enumerate(frame.iter_rows(), start=2):
        if any(value is not None for value in values):
            yield line, ["" if value is None else str(value) for value in values]


def _csv_records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    name = path.name
    width = 0
    try:
        # The signature of UTF-8 (BOM), which spreadsheets write, is taken off.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            n_rows = 0
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                n_rows += 1
                width = width or len(cells)
                if width > MAX_COLUMNS:
                    raise DataError(f"'{name}' has more than {MAX_COLUMNS} columns")
                if n_rows > MAX_ROWS + 1:
                    raise DataError(f"'{name}' has more than {MAX_ROWS} rows")
                if len(cells) != width:
                    raise DataError(
                        f"'{name}': line {reader.line_num} has {len(cells)} cells, "
                        f"the header has {width}"
                    )
                yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise DataError(
            f"'{name}' is not UTF-8 text (byte {error.start})", "save it as CSV in UTF-8"
        ) from None
    except csv.Error as error:
        raise DataError(f"'{name}': line {reader.line_num}: {error}") from None
    if not width:
        raise DataError(f"'{name}' is empty", "it needs a header and at least one row")


def locate(
    header: Sequence[str], headings: Mapping[str, str], path: Path, delimiter: str
) -> dict[str, int]:
    titles = [title.strip() for title in header]
    missing = [heading for heading in headings.values() if heading not in titles]
    if missing:
        others = [mark for mark in ";\t|," if mark != delimiter and mark in header[0]]
        if len(titles) == 1 and others:
            fix = f"the cells look separated by {others[0]!r}: set the option 'delimiter'"
        else:
            fix = f"{did_you_mean(missing[0], titles)} (option 'columns' names other headings)"
        raise DataError(f"'{path.name}' has no column {', '.join(map(repr, missing))}", fix)
    double = sorted({heading for heading in headings.values() if titles.count(heading) > 1})
    if double:
        raise DataError(f"'{path.name}' has more than one column {', '.join(map(repr, double))}")
    return {name: titles.index(heading) for name, heading in headings.items()}


def fault_of(params: Params, space: SearchSpace, constraints: Constraints) -> str | None:
    """Return why params are outside the search space or against a constraint, or None."""
    try:
        return space.fault(params) or next(iter(constraints.broken(params)), None)
    except DataError as error:
        return error.message


def choice_of(item: Input, cell: str, line: int) -> Any:
    if item.is_conditional and not cell.strip():
        return None
    if item.choices is None:
        value = number_of(cell, item.name, line)
        return int(value) if item.is_whole and value.is_integer() else value
    text = cell.strip()
    for choice in item.choices:
        if isinstance(choice, bool):
            if text.lower() == str(choice).lower():
                return choice
        elif text == str(choice) or _is_same_number(text, choice):
            return choice
    raise DataError(f"line {line}: '{text}' is no choice of '{item.name}'")


def _is_same_number(text: str, choice: str | float) -> bool:
    try:
        return isinstance(choice, int | float) and float(text) == choice
    except ValueError:
        return False


def number_of(cell: str, name: str, line: int) -> float:
    text = cell.strip()
    if not text:
        raise DataError(f"line {line}: the cell of '{name}' is empty")
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"line {line}: '{text[:40]}' is no number for '{name}'") from None
    if not math.isfinite(value):
        raise DataError(f"line {line}: '{name}' is {text[:40]}, not a finite number")
    return value
