"""Real small tables, and training without processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from materia.ml import training
from materia.ml.training import PartitionOutcome, TrainedModel, TrainingPlan

_BUNCHES = {"diabetes": load_diabetes, "iris": load_iris, "breast_cancer": load_breast_cancer}


def bundled(name: str) -> pl.DataFrame:
    """Return a table that scikit-learn brings along, its target named `target`."""
    bunch = _BUNCHES[name]()
    columns = {n: bunch.data[:, j] for j, n in enumerate(bunch.feature_names)}
    return pl.DataFrame({**columns, "target": bunch.target})


def write(folder: Path, name: str) -> Path:
    path = folder / f"{name}.csv"
    bundled(name).write_csv(path)
    return path


def alloys(folder: Path, n: int = 240) -> Path:
    """Write a table with a category, missing cells and a target that depends on both."""
    rng = np.random.default_rng(5)
    gas = rng.choice(["Ar", "N2", "He"], n)
    temp = rng.uniform(300, 900, n)
    strength = temp / 100 + 5.0 * (gas == "N2") + rng.normal(0, 0.1, n)
    holes = [None if i % 17 == 0 else float(t) for i, t in enumerate(temp)]
    gases = [None if i % 23 == 0 else str(g) for i, g in enumerate(gas)]
    path = folder / "alloys.csv"
    pl.DataFrame({"gas": gases, "temp": holes, "strength": strength}).write_csv(path)
    return path


def friedman(n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Return n rows of six numbers and a target with curves, an interaction and noise."""
    rng = np.random.default_rng(1)
    X = rng.uniform(size=(n, 6))
    curved = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    return X, curved + 10 * X[:, 3] + 5 * X[:, 4] + rng.normal(size=n)


def friedman_table(folder: Path, n: int = 3000) -> Path:
    X, y = friedman(n)
    path = folder / "friedman.csv"
    pl.DataFrame({**{f"x{j}": X[:, j] for j in range(X.shape[1])}, "y": y}).write_csv(path)
    return path


def train_all(plan: TrainingPlan, order: list[int] | None = None) -> dict[int, PartitionOutcome]:
    return {i: training.train_partition(i, plan) for i in order or training.items(plan)}


def train(path: Path, **config: Any) -> TrainedModel:
    plan = training.plan_training(config, path)
    return training.assemble(plan, train_all(plan), {})
