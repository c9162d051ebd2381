"""Every row of batch files predicted, and written with the number of its row.

`plan_prediction` prepares, `predict_batch` does one file in any process, and `summarise` makes the
answer. Output columns: `row_id`, `prediction`, then `std` where the model knows its uncertainty, or
one column `probability_<class>` per class. `row_id` is the number of the row in its file, counted
from 0 without the header, or the value of the column that `id_column` names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl

from materia.errors import DataError, DefinitionError
from materia.mdl.suggest import did_you_mean
from materia.ml import metrics
from materia.ml.dataset import encode, encode_target
from materia.ml.ensemble import Answer
from materia.ml.estimators import CHUNK
from materia.ml.files import replacing
from materia.ml.model_file import Model
from materia.ml.reading import header_of, read_frame, read_table

OutputFormat: TypeAlias = Literal["csv", "parquet"]

N_SHOWN = 100
LARGE_CHUNK = 4 * CHUNK


@dataclass(frozen=True)
class PredictionPlan:
    """What every batch shares.

    Attributes:
        threads: How many may predict one file; changes nothing in the result.
    """

    model: Model
    id_column: str | None = None
    delimiter: str = ","
    threads: int = 1


@dataclass(frozen=True)
class BatchItem:
    """One file to predict, and where its predictions go."""

    source: Path
    output: Path


@dataclass(frozen=True)
class BatchOutcome:
    """One file that was predicted.

    Attributes:
        first: Predictions of its first rows.
        ignored_columns: Columns of the file that the model does not know.
        unknown_categories: Levels that the model has not seen, taken as missing.
    """

    source: Path
    output: Path
    n_rows: int
    first: list[Any]
    ignored_columns: list[str] = field(default_factory=list)
    unknown_categories: dict[str, list[str]] = field(default_factory=dict)


def batch_items(
    sources: Sequence[Path], folder: Path, output_format: OutputFormat = "csv"
) -> list[BatchItem]:
    """Return an item per file, with a name of its own in the folder for each.

    Raises:
        DefinitionError: There is no file, or no such format.
    """
    if not sources:
        raise DefinitionError("data_batches: is empty", "name a file", path="data_batches")
    if output_format not in ("csv", "parquet"):
        raise DefinitionError(
            f"output_format: {output_format!r} is unknown",
            "allowed: csv, parquet",
            path="output_format",
        )
    found, taken = [], set()
    for source in sources:
        stem, n = f"{source.stem}_predictions", 1
        name = f"{stem}.{output_format}"
        while name in taken:
            n += 1
            name = f"{stem}_{n}.{output_format}"
        taken.add(name)
        found.append(BatchItem(source, folder / name))
    return found


def predict_batch(item: BatchItem, plan: PredictionPlan) -> BatchOutcome:
    """Predict one file and write its predictions, whole or not at all.

    Raises:
        NotFoundError: There is no such file.
        DataError: It does not fit the model: names the columns that are missing or of the wrong
            type; or the output cannot be written.
    """
    schema, header = plan.model.schema, header_of(item.source, plan.delimiter)
    known = {*schema.names, *([plan.id_column] if plan.id_column else ())}
    ignored = [name for name in header if name not in known and name != schema.target]
    if plan.id_column is not None and plan.id_column not in header:
        raise DataError(
            f"'{item.source.name}' has no column '{plan.id_column}' for id_column",
            did_you_mean(plan.id_column, header),
        )
    _check_columns(item.source, plan, header, ignored)
    numbers = [c.name for c in schema.features if c.kind == "number" and c.name != plan.id_column]
    frame = read_frame(item.source, plan.delimiter, columns=known, numbers=numbers)
    try:
        X, unknown = encode(frame, schema)
    except DataError as error:
        raise DataError(f"'{item.source.name}': {error.message}", error.hint) from None
    # In slices, because an ensemble answers with an array per member.
    step = CHUNK if schema.classes else LARGE_CHUNK
    with ThreadPoolExecutor(plan.threads) as pool:
        slices = [X[i : i + step] for i in range(0, len(X), step)]
        answers = list(pool.map(plan.model.answer, slices))
    output = _output(answers, plan, frame)
    with replacing(item.output) as temporary:
        if item.output.suffix == ".parquet":
            output.write_parquet(temporary)
        else:
            output.write_csv(temporary)
    first = output["prediction"].head(N_SHOWN).to_list()
    return BatchOutcome(item.source, item.output, len(output), first, ignored, unknown)


def summarise(
    items: Sequence[BatchItem],
    outcomes: Mapping[int, BatchOutcome],
    failures: Mapping[int, str],
    shown: Callable[[Path], str] = str,
) -> dict[str, Any]:
    """Return the answer for all batches, in their order.

    Args:
        items: All of them.
        outcomes: Of those that succeeded, by place.
        failures: Why others did not, by place.
        shown: Says how paths are written in it.

    Raises:
        DataError: None succeeded.
    """
    done = [outcomes[i] for i in sorted(outcomes)]
    if not done:
        reasons = [failures[i] for i in sorted(failures)] or ["nothing was predicted"]
        raise DataError(f"no batch could be predicted: {'; '.join(reasons[:3])}")
    first = [value for outcome in done for value in outcome.first][:N_SHOWN]
    return {
        "status": "success" if len(done) == len(items) else "partial",
        "total_predictions": sum(outcome.n_rows for outcome in done),
        "predictions": first,
        "output_files": [shown(outcome.output) for outcome in done],
        "batches": [
            _batch(item, outcomes.get(i), failures.get(i), shown) for i, item in enumerate(items)
        ],
    }


def evaluate(model: Model, dataset_path: Path, delimiter: str = ",") -> dict[str, float]:
    """Return a model's metrics on a table with known targets, which it should not have learnt from.

    Raises:
        NotFoundError: There is no such dataset.
        DataError: It does not fit the model.
    """
    frame = read_table(dataset_path, delimiter).frame
    X, _ = encode(frame, model.schema)
    y = encode_target(frame, model.schema)
    return metrics.measure(y, model.answer(X), model.schema.task)


def _check_columns(
    source: Path, plan: PredictionPlan, header: Sequence[str], ignored: Sequence[str]
) -> None:
    missing = [name for name in plan.model.schema.names if name not in header]
    if not missing:
        return
    listed = ", ".join(f"'{name}'" for name in missing[:10])
    more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
    extra = ", ".join(f"'{name}'" for name in ignored[:10])
    raise DataError(
        f"'{source.name}' lacks columns of the model: {listed}{more}"
        + (f"; it has others that the model does not know: {extra}" if extra else ""),
        did_you_mean(missing[0], ignored) if ignored else "add them",
    )


def _output(answers: Sequence[Answer], plan: PredictionPlan, frame: pl.DataFrame) -> pl.DataFrame:
    schema = plan.model.schema
    ids = frame[plan.id_column] if plan.id_column else pl.Series(np.arange(len(frame)))
    columns: dict[str, Any] = {"row_id": ids}
    values = np.concatenate([a.values for a in answers]) if answers else np.zeros(0)
    if schema.task == "classification":
        labels = pl.Series(list(schema.classes))
        columns["prediction"] = labels.gather(values.astype(np.int64))
        stacked = [a.probabilities for a in answers if a.probabilities is not None]
        p = np.concatenate(stacked) if stacked else np.zeros((0, len(schema.classes)))
        columns |= {f"probability_{label}": p[:, k] for k, label in enumerate(schema.classes)}
    else:
        columns["prediction"] = values
        if answers and answers[0].std is not None:
            stds = [a.std for a in answers if a.std is not None]
            columns["std"] = np.concatenate(stds)
    return pl.DataFrame(columns)


def _batch(
    item: BatchItem,
    outcome: BatchOutcome | None,
    failure: str | None,
    shown: Callable[[Path], str],
) -> dict[str, Any]:
    if outcome is None:
        reason = failure or "not predicted"
        return {"status": "failed", "source": shown(item.source), "error": reason}
    return {
        "status": "success",
        "source": shown(item.source),
        "output_file": shown(outcome.output),
        "rows": outcome.n_rows,
        "ignored_columns": outcome.ignored_columns,
        "unknown_categories": outcome.unknown_categories,
    }
