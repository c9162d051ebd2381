"""What is wrong with the arguments of a task, found before there is a job.

Every check is cheap: at most the headers of files are read, and nothing is loaded that learns. What
this process has no library for, the worker checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from materia import settings
from materia.errors import (
    AccessError,
    DataError,
    DefinitionError,
    MissingExtraError,
    NotFoundError,
)
from materia.mdl.suggest import did_you_mean
from materia.services import files

Check = Callable[..., None]

TABLES = (".csv", ".csv.gz", ".parquet")
FORMATS = ("csv", "parquet")


def check(task: str, arguments: Mapping[str, Any], *, look: bool = True) -> None:
    """Raise unless a task can take some arguments, whose types are right.

    Args:
        arguments: By name.
        look: Whether files must be there already, with the columns that are named.

    Raises:
        DefinitionError: They do not fit; `path` says which one.
    """
    checks = CHECKS.get(task)
    if checks is None:
        return
    try:
        for found in checks if look else checks[:1]:
            found(**arguments)
    except MissingExtraError:
        return


@contextmanager
def _of(path: str) -> Iterator[None]:
    """Say which argument it is that a file or a declaration is wrong with."""
    try:
        yield
    except DefinitionError as error:
        if error.path is None:
            error.path = path
        raise
    except (AccessError, NotFoundError, DataError) as error:
        raise DefinitionError(error.message, error.hint, path=path) from error


def _wrong(path: str, what: str, fix: str | None = None) -> DefinitionError:
    return DefinitionError(f"{path}: {what}", fix, path=path)


def _inside(path: str, name: Any) -> Path:
    with _of(path):
        return files.resolve(name)


def _table_to_write(path: str, name: Any, endings: Sequence[str] = TABLES) -> None:
    target = _inside(path, name)
    if not target.name.lower().endswith(tuple(endings)):
        what = f"the ending of '{target.name}' names no kind of table"
        raise _wrong(path, what, f"allowed: {', '.join(endings)}")
    if target.exists() and not target.is_file():
        raise _wrong(path, f"'{name}' is not an ordinary file", "choose another name")


def _each(path: str, names: Sequence[str]) -> None:
    if not names:
        raise _wrong(path, "is empty", "name at least one file")
    for i, name in enumerate(names):
        _inside(f"{path}[{i}]", name)


# Training and search


def _training(model_config: Any, dataset_path: str) -> None:
    from materia.ml.config import parse_config

    parse_config(model_config, is_light=True)
    _inside("dataset_path", dataset_path)


def _training_data(model_config: Any, dataset_path: str) -> None:
    from materia.ml.config import parse_config

    _look_at_dataset(parse_config(model_config, is_light=True), dataset_path)


def _look_at_dataset(config: Any, dataset_path: str) -> None:
    from materia.ml.dataset import check_names
    from materia.ml.reading import dataset_files, header_of

    with _of("dataset_path"):
        found = dataset_files(files.resolve(dataset_path))
        for part in found:
            files.resolve(str(part))
        header = header_of(found[0], config.training.delimiter)
    try:
        check_names(config.training, header)
    except DataError as error:
        # Its message begins with the key of the configuration.
        path = error.message.partition(":")[0]
        raise DefinitionError(error.message, error.hint, path=path) from error


def _search(param_grid: Any, dataset_path: str, model_config: Any = None, **options: Any) -> None:
    _search_config(param_grid, model_config, **options)
    _inside("dataset_path", dataset_path)


def _search_data(
    param_grid: Any, dataset_path: str, model_config: Any = None, **options: Any
) -> None:
    _look_at_dataset(_search_config(param_grid, model_config, **options), dataset_path)


def _search_config(
    param_grid: Any, model_config: Any, cv: int = 3, strategy: str = "grid", n_iter: int = 20
) -> Any:
    from materia.ml.declaration import read_search

    return read_search(param_grid, model_config, cv, strategy, n_iter)


# Prediction


def _prediction(
    model_path: str | None = None,
    data_batches: Sequence[str] | None = None,
    model_id: str | None = None,
    output_dir: str = "predictions",
    output_format: str = "csv",
    id_column: str | None = None,
) -> None:
    if (model_path is None) == (model_id is None):
        what = "a model is named by model_path or by model_id, by one of the two"
        raise DefinitionError(what, path="model_path")
    if model_path is not None:
        _inside("model_path", model_path)
    _each("data_batches", data_batches or [])
    _inside("output_dir", output_dir)
    if output_format not in FORMATS:
        raise _wrong(
            "output_format", f"{output_format!r} is unknown", f"allowed: {', '.join(FORMATS)}"
        )


def _prediction_data(
    model_path: str | None = None,
    data_batches: Sequence[str] | None = None,
    model_id: str | None = None,
    output_dir: str = "predictions",
    output_format: str = "csv",
    id_column: str | None = None,
) -> None:
    from materia.ml.pickles import refuse_pickle
    from materia.ml.reading import header_of
    from materia.services import models

    with _of("model_path" if model_id is None else "model_id"):
        path, row = models.find(model_path, model_id)
        refuse_pickle(path)
    headers = []
    for i, name in enumerate(data_batches or []):
        with _of(f"data_batches[{i}]"):
            headers.append(header_of(files.readable(name)))
    columns = [feature["name"] for feature in row["card"]["schema"]["features"]] if row else []
    _required(columns, headers, "data_batches", "the model")
    if id_column is not None:
        _required([id_column], headers, "id_column", "id_column")


def _required(names: Sequence[str], headers: Sequence[list[str]], path: str, by: str) -> None:
    """Raise when no file has all columns; one that lacks some is reported by the job."""
    lacking = [[name for name in names if name not in header] for header in headers]
    if all(lacking):
        listed = ", ".join(f"'{name}'" for name in lacking[0][:10])
        others = [name for name in headers[0] if name not in names]
        fix = did_you_mean(lacking[0][0], others) if others else "add them"
        raise _wrong(path, f"columns that {by} needs are missing: {listed}", fix)


# Tables


def _processing(
    file_path: str, output_path: str, transformations: Mapping[str, Any] | None = None
) -> None:
    from materia.data.transformations import read_transformations

    read_transformations(transformations)
    _inside("file_path", file_path)
    _table_to_write("output_path", output_path)


def _processing_data(
    file_path: str, output_path: str, transformations: Mapping[str, Any] | None = None
) -> None:
    from materia.data import check_columns

    with _of("file_path"):
        source = files.readable(file_path)
        check_columns(source, transformations)
    if source == files.resolve(output_path):
        raise _wrong("output_path", "it is the input as well", "name another output")


def _aggregation(
    data_sources: Sequence[str],
    output_path: str | None = None,
    group_by: Sequence[str] | None = None,
    aggregations: Any = None,
) -> None:
    from materia.data import check_functions

    check_functions(aggregations)
    _each("data_sources", data_sources)
    if output_path is not None:
        _table_to_write("output_path", output_path, (*TABLES, ".json"))


def _aggregation_data(
    data_sources: Sequence[str],
    output_path: str | None = None,
    group_by: Sequence[str] | None = None,
    aggregations: Any = None,
) -> None:
    from materia.data import columns_of

    found: dict[str, list[str]] = {}
    for i, name in enumerate(data_sources):
        with _of(f"data_sources[{i}]"):
            table = files.readable(name)
            found[name] = columns_of(table)
        if output_path is not None and table == files.resolve(output_path):
            raise _wrong("output_path", f"it is the source '{name}' as well", "name another output")
    for name in group_by or ():
        for source, columns in found.items():
            if name not in columns:
                what = f"'{source}' has no column '{name}'"
                raise _wrong("group_by", what, did_you_mean(name, columns))
    every = list(dict.fromkeys(name for columns in found.values() for name in columns))
    for name in aggregations if isinstance(aggregations, Mapping) else ():
        if name not in every:
            path = f"aggregations.{name}"
            raise _wrong(path, f"there is no column '{name}'", did_you_mean(name, every))


def _retraining(name: str) -> None:
    from materia.services import retrainings

    with _of("name"):
        retrainings.get(name)


def _notification(message: str, channel: str = "default") -> None:
    from materia.services import notifications

    notifications.require_message(message)
    # A server that was told of no channels leaves it to the worker, which may know some.
    if settings.current().channels:
        notifications.addresses_of(channel)


def _clean_up(keep_last: int = 3, older_than_days: float = 7) -> None:
    from materia.services import retention

    retention.require_ages(keep_last, older_than_days)


def _export(campaign_id: str, format: str = "csv") -> None:  # noqa: A002 - the task's name for it
    from materia.services import exports

    exports.require_format(format)


def _export_data(campaign_id: str, format: str = "csv") -> None:  # noqa: A002 - the task's name for it
    from materia.services import campaigns

    with _of("campaign_id"):
        campaigns.get(campaign_id)


def _nothing(**_: Any) -> None:
    """What can only be looked at."""


CHECKS: Mapping[str, tuple[Check, Check]] = {
    "tasks.ml_tasks.distributed_training": (_training, _training_data),
    "tasks.ml_tasks.hyperparameter_search": (_search, _search_data),
    "tasks.ml_tasks.batch_predictions": (_prediction, _prediction_data),
    "tasks.ml_tasks.retrain_model": (_nothing, _retraining),
    "tasks.simple_tasks.send_notification": (_notification, _nothing),
    "tasks.campaign_tasks.export_results": (_export, _export_data),
    "tasks.campaign_tasks.cleanup_old_checkpoints": (_clean_up, _nothing),
    "tasks.data_tasks.process_large_csv": (_processing, _processing_data),
    "tasks.data_tasks.aggregate_data": (_aggregation, _aggregation_data),
}
"""Of each task, what is wrong with its arguments alone, and with them and the files they name."""
