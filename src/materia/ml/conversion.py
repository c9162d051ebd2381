"""A forest that was trained elsewhere made a model of ours, without pickle.

Whoever trusts a pickle opens it where it was made and saves the estimator by `skops.io.dump`; the
`.skops` file and a table with the same columns are what is needed here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from materia.errors import DataError, DefinitionError, NotFoundError
from materia.ml import formats, metrics
from materia.ml.config import parse_config
from materia.ml.dataset import Dataset, load_dataset
from materia.ml.estimators import TABLE, answer
from materia.ml.schema import Schema
from materia.ml.training import TrainedModel
from materia.ml.trees import check_trees


def convert(source: Path, dataset_path: Path, model_config: Any) -> TrainedModel:
    """Return an estimator of scikit-learn as a model with one member.

    Args:
        source: A `.skops` file.
        dataset_path: Rows with the features that it learnt from; they give names and types.
        model_config: As for training; `estimator` says which one it is, and it must be one of
            trees, because others see features in another form.

    Raises:
        DefinitionError: The configuration is wrong.
        NotFoundError: A file is missing.
        DataError: The file is foreign or damaged, or does not fit the table.
    """
    config = parse_config(model_config)
    name = config.training.estimator
    kind = TABLE[name]
    if kind is None or kind.is_linear:
        raise DefinitionError(
            f"model_config.estimator: '{name}' cannot be converted",
            "retrain it",
            path="model_config.estimator",
        )
    if not source.is_file():
        raise NotFoundError(f"there is no file '{source.name}'")
    dataset = load_dataset(dataset_path, config.training)
    model = formats.from_bytes(source.read_bytes(), name, dataset.schema.task)
    dataset = _in_its_order(dataset, model, source)
    check_trees(model, len(dataset.schema.features))
    schema = dataset.schema
    if schema.task == "classification":
        _renumber(model, schema, source)
    found = answer(model, name, dataset.X, schema)
    figures = {
        "n_rows": len(dataset.y),
        "metrics_on_table": metrics.measure(dataset.y, found, schema.task),
        "remarks": [
            *dataset.remarks,
            "converted: it may have learnt from the rows it is scored on",
        ],
    }
    card = {
        "name": config.training.name,
        "estimator": name,
        "config": config.to_data(),
        "schema": schema.to_data(),
        "conversion": figures,
    }
    return TrainedModel({"status": "success", **figures}, card, (formats.to_bytes(model),))


def _in_its_order(dataset: Dataset, model: Any, source: Path) -> Dataset:
    """Return the dataset with features in the order that the estimator learnt them in."""
    names = list(getattr(model, "feature_names_in_", dataset.schema.names))
    found = dataset.schema.names
    if model.n_features_in_ != len(found) or set(names) != set(found):
        raise DataError(
            f"'{source.name}' learnt from {model.n_features_in_} features, {_some(names)}; "
            f"the table has {len(found)}, {_some(found)}",
            "name those of the model by 'features'",
        )
    order = [found.index(name) for name in names]
    features = tuple(dataset.schema.features[j] for j in order)
    return replace(
        dataset, X=dataset.X[:, order], schema=replace(dataset.schema, features=features)
    )


def _renumber(model: Any, schema: Schema, source: Path) -> None:
    """Let the estimator's classes be places, as in models trained here."""
    if model.classes_.tolist() != list(schema.classes):
        raise DataError(
            f"'{source.name}' knows the classes {model.classes_.tolist()[:10]}, "
            f"the table has {list(schema.classes)[:10]}"
        )
    model.classes_ = np.arange(len(schema.classes))


def _some(names: Any) -> str:
    listed = ", ".join(f"'{name}'" for name in list(names)[:5])
    return listed + (", …" if len(names) > 5 else "")
