"""How well held-out rows are met. Every metric is turned so that more is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from materia.errors import DefinitionError
from materia.mdl.suggest import did_you_mean
from materia.ml.ensemble import Answer
from materia.ml.schema import Task

FloatArray = NDArray[np.float64]


def _r2(y: FloatArray, answer: Answer) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(y, answer.values))


def _rmse(y: FloatArray, answer: Answer) -> float:
    return float(np.sqrt(np.mean((y - answer.values) ** 2)))


def _mae(y: FloatArray, answer: Answer) -> float:
    return float(np.mean(np.abs(y - answer.values)))


def _accuracy(y: FloatArray, answer: Answer) -> float:
    return float(np.mean(y == answer.values))


def _balanced_accuracy(y: FloatArray, answer: Answer) -> float:
    """Mean over the classes that occur of the share that is met."""
    return float(np.mean([np.mean(answer.values[y == code] == code) for code in np.unique(y)]))


def _f1_macro(y: FloatArray, answer: Answer) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(y, answer.values, average="macro", zero_division=0))


def _log_loss(y: FloatArray, answer: Answer) -> float:
    assert answer.probabilities is not None
    p = answer.probabilities[np.arange(len(y)), y.astype(np.intp)]
    return float(-np.mean(np.log(np.maximum(p, np.finfo(float).eps))))


_ERRORS = ("rmse", "mae", "log_loss")
_METRICS: Mapping[Task, Mapping[str, Callable[[FloatArray, Answer], float]]] = {
    "regression": {"r2": _r2, "rmse": _rmse, "mae": _mae},
    "classification": {
        "accuracy": _accuracy,
        "balanced_accuracy": _balanced_accuracy,
        "f1_macro": _f1_macro,
        "log_loss": _log_loss,
    },
}


def names(task: Task | None) -> list[str]:
    """Return what `metric` may be; with a minus what is an error and better when small."""
    tables = [_METRICS[task]] if task else list(_METRICS.values())
    return [f"neg_{name}" if name in _ERRORS else name for table in tables for name in table]


def check(metric: str | None, task: Task | None, path: str) -> None:
    """Raise a DefinitionError unless the metric judges this task."""
    allowed = names(task)
    if metric is not None and metric not in allowed:
        what = f"metric of {task}" if task else "metric"
        raise DefinitionError(
            f"{path}: '{metric}' is no {what}", did_you_mean(metric, allowed), path=path
        )


def measure(y: FloatArray, answer: Answer, task: Task) -> dict[str, float]:
    """Return every metric of the task, errors as they are, for targets y, (n,)."""
    return {name: metric(y, answer) for name, metric in _METRICS[task].items()}


def score(y: FloatArray, answer: Answer, task: Task, metric: str | None) -> float:
    """Return one figure, more is better; by default r2 or accuracy."""
    name = metric or ("r2" if task == "regression" else "accuracy")
    value = _METRICS[task][name.removeprefix("neg_")](y, answer)
    return -value if name.startswith("neg_") else value
