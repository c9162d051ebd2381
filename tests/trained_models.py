"""Small models that are really trained, for evaluators and campaigns that ask them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from materia.ml import training
from materia.ml.model_file import StoredModel, write_model


def measurements(n: int = 90) -> pl.DataFrame:
    """Return coatings that were measured: two numbers and a category, three outcomes."""
    rng = np.random.default_rng(3)
    gas = rng.choice(["Ar", "N2", "He"], n)
    power = rng.uniform(50, 200, n)
    layers = rng.integers(1, 6, n)
    hardness = 12 + power / 50 + 3.0 * (gas == "N2") + 0.3 * layers + rng.normal(0, 0.05, n)
    stress = 0.2 + power / 400 + 0.1 * layers + rng.normal(0, 0.01, n)
    return pl.DataFrame(
        {
            "gas": gas,
            "power": power,
            "layers": layers,
            "hardness": hardness,
            "stress": stress,
            "quality": np.where(hardness > 16, "good", "poor"),
        }
    )


def train(
    folder: Path, target: str, name: str | None = None, *, n: int = 90, **config: Any
) -> StoredModel:
    """Train on `measurements` and store the model as ``<name>.model``."""
    table = folder / "measurements.csv"
    measurements(n).write_csv(table)
    others = [column for column in ("hardness", "stress", "quality") if column != target]
    keys = {"target": target, "exclude": others, "num_partitions": 2, **config}
    if keys.get("estimator", "random_forest") == "random_forest":
        keys.setdefault("n_estimators", 5)
    plan = training.plan_training(keys, table)
    outcomes = {i: training.train_partition(i, plan) for i in training.items(plan)}
    trained = training.assemble(plan, outcomes, {})
    return write_model(folder / f"{name or target}.model", trained)
