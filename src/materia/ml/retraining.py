"""A model trained again and compared with the one in use, on rows that neither has learnt from.

Which rows are held out follows from their content: a row whose cells hash below a share of all
hashes is held out today, and was whenever the model in use was trained, wherever it stood in the
file and whatever was added since. A row that was changed is another row: its older version may have
been learnt from. Numbers are compared as numbers, so that 1 and 1.0 are the same cell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from materia.errors import DataError
from materia.ml import estimators, metrics, splitting
from materia.ml.config import parse_config
from materia.ml.dataset import encode, make_dataset
from materia.ml.ensemble import Answer
from materia.ml.model_file import Model
from materia.ml.reading import MISSING, read_table
from materia.ml.schema import Schema
from materia.ml.training import TrainingPlan

MIN_HELD_OUT = 10
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class HoldOut:
    """Which rows are held out.

    Attributes:
        name: Of the model; other models hold out other rows.
        target: Column that is predicted.
        columns: Columns whose cells decide, in this order.
        share: Of rows, in (0, 1).
    """

    name: str
    target: str
    columns: tuple[str, ...]
    share: float

    def to_data(self) -> dict[str, Any]:
        """Return plain data that `from_data` reads."""
        return {
            "name": self.name,
            "target": self.target,
            "columns": list(self.columns),
            "share": self.share,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> HoldOut:
        """Return the rule that `to_data` wrote."""
        columns = tuple(map(str, data["columns"]))
        return cls(str(data["name"]), str(data["target"]), columns, float(data["share"]))

    def holds(self, frame: pl.DataFrame) -> NDArray[np.bool_]:
        """Return which rows of a table are held out, (n,)."""
        found = np.full(len(frame), _hash(self.name), np.uint64)
        for name in self.columns:
            found = _mixed(found ^ _mixed(_cells(frame[name]) + np.uint64(_hash(name))))
        return found < np.uint64(min(self.share, 0.99) * 2**64)


@dataclass(frozen=True)
class Contest:
    """A training, and the rows that decide whether its model is better.

    Attributes:
        frame: The held-out rows as they were read, in the order of `plan.held_out`.
    """

    plan: TrainingPlan
    hold_out: HoldOut
    frame: pl.DataFrame


def plan_contest(
    name: str, model_config: Any, dataset_path: Path, known: HoldOut | None = None
) -> Contest:
    """Return what is to be trained.

    Args:
        name: Of the model.
        model_config: As of `training.plan_training`.
        dataset_path: As of `reading.dataset_files`.
        known: The rule by which the model in use was trained; kept where the table allows it.

    Raises:
        DefinitionError: The configuration is wrong.
        NotFoundError, DataError: The dataset cannot be used, or too few rows are held out.
    """
    config = parse_config(model_config)
    training = config.training
    table = read_table(dataset_path, training.delimiter)
    part = np.repeat(np.arange(len(table.part_sizes)), table.part_sizes)
    # Parts are numbered anew once it is known which rows have a target.
    dataset = make_dataset(table.frame, training, np.arange(len(table.frame)))
    rows, schema = dataset.part, dataset.schema
    dataset = replace(dataset, part=part[rows])
    metrics.check(training.metric, schema.task, "model_config.metric")
    estimators.check(training.estimator, schema.task, config.params, "model_config")
    hold_out = HoldOut(name, schema.target, tuple(table.frame.columns), training.test_size)
    if known is not None and _still_fits(known, hold_out):
        hold_out = known
    is_held = hold_out.holds(table.frame)[rows]
    held, kept = np.flatnonzero(is_held), np.flatnonzero(~is_held)
    if len(held) < MIN_HELD_OUT or len(kept) < splitting.MIN_PARTITION:
        raise DataError(
            f"{len(held)} of {len(rows)} rows are held out; {MIN_HELD_OUT} or more must decide, "
            f"and {splitting.MIN_PARTITION} be learnt from",
            "add rows, or change test_size",
        )
    parts = tuple(splitting.partitions(dataset, training, kept))
    plan = TrainingPlan(config, dataset, held, parts)
    return Contest(plan, hold_out, table.frame[rows[held].tolist()])


def _still_fits(known: HoldOut, new: HoldOut) -> bool:
    is_same = (known.name, known.target, known.share) == (new.name, new.target, new.share)
    return is_same and set(known.columns) <= set(new.columns)


def judge(model: Model, contest: Contest) -> float:
    """Return the score of the model in use on the held-out rows.

    Raises:
        DataError: It cannot be compared; says why.
    """
    rule = model.card.get("hold_out")
    if not isinstance(rule, dict) or HoldOut.from_data(rule) != contest.hold_out:
        raise DataError("it was trained with another hold-out, or to predict something else")
    schema = contest.plan.dataset.schema
    if model.schema.task != schema.task:
        raise DataError(f"it does {model.schema.task}, and the target is now for {schema.task}")
    X, _ = encode(contest.frame, model.schema)
    answer = _translated(model.answer(X), model.schema, schema)
    y = contest.plan.dataset.y[contest.plan.held_out]
    return metrics.score(y, answer, schema.task, contest.plan.config.training.metric)


def _translated(answer: Answer, old: Schema, new: Schema) -> Answer:
    """Return an answer in the classes of another schema; a class that is not there is wrong."""
    if answer.probabilities is None or old.classes == new.classes:
        return answer
    probabilities = np.zeros((len(answer.values), len(new.classes)))
    codes = np.full(len(old.classes), -1.0)
    for code, label in enumerate(old.classes):
        if label in new.classes:
            codes[code] = new.classes.index(label)
            probabilities[:, new.classes.index(label)] = answer.probabilities[:, code]
    return Answer(codes[answer.values.astype(np.intp)], None, probabilities)


def _cells(series: pl.Series) -> Hashes:
    """Return a hash of each cell, (n,): the same in every release and on every machine."""
    if series.dtype.is_float():
        series = series.fill_nan(None)
    text = series.cast(pl.String, strict=False).str.strip_chars()
    text = text.set(text.is_in(MISSING).fill_null(False), None)
    numbers = text.cast(pl.Float64, strict=False)
    # Adding zero makes one number of the two zeros.
    values = np.asarray(numbers.fill_null(0.0).to_numpy() + 0.0, "<f8")
    found: Hashes = _mixed(values.view("<u8").astype(np.uint64))
    words = text.filter(numbers.is_null() & text.is_not_null()).unique().to_list()
    if words:
        codes = {word: _hash(word) for word in words}
        hashes = text.replace_strict(codes, default=0, return_dtype=pl.UInt64).to_numpy()
        found = np.where(numbers.is_null().to_numpy(), hashes, found)
    return np.where(text.is_null().to_numpy(), np.uint64(0), found)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _mixed(values: Hashes) -> Hashes:
    """Return numbers whose bits all depend on all bits of the given ones (SplitMix64's mixer)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
