"""Fitted estimators as bytes and back, without pickle.

The bytes are a skops file: arrays and names of types; or, of LightGBM, its own text. A type that is
not on the list below, or not of the estimator that was asked for, is refused before anything of the
file is built. skops loads every estimator of scikit-learn, so it is loaded where a file is at hand.
"""

from __future__ import annotations

import importlib
import io
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from materia.errors import DataError
from materia.ml.boosting import BoostedTrees
from materia.ml.estimators import TABLE
from materia.ml.gaussian import GaussianModel
from materia.ml.schema import Task

BYTES_PER_NODE = 72
"""Of a tree in a skops file."""

# Beside the types that skops knows to be harmless: what scalers, forests and boosted trees are made
# of, which hold numbers only.
_TRUSTED = frozenset(
    {
        "numpy.dtype",
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn._loss._loss.CyAbsoluteError",
        "sklearn._loss._loss.CyPinballLoss",
        "sklearn._loss._loss.CyHalfGammaLoss",
        "sklearn._loss._loss.CyHalfPoissonLoss",
    }
)


def to_bytes(model: Any) -> bytes:
    """Return a fitted estimator as bytes.

    Raises:
        DataError: It holds what has no such form, or a type that `from_bytes` would refuse.
    """
    if isinstance(model, BoostedTrees):
        return model.to_bytes()
    import skops.io

    plain = model.to_data() if isinstance(model, GaussianModel) else model
    try:
        content = bytes(skops.io.dumps(plain))
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"the model cannot be stored: {type(error).__name__}: {error}") from None
    # A model that cannot be read again must not be taken for a success.
    _foreign_types(content)
    return content


def from_bytes(content: bytes, estimator: str, task: Task) -> Any:
    """Return the estimator that `to_bytes` wrote.

    Raises:
        DataError: The content is damaged, of another kind, or holds a type that is not trusted.
        MissingExtraError: Its library is not installed.
    """
    if estimator == "lightgbm":
        return BoostedTrees.from_bytes(content, task)
    import skops.io

    try:
        _check_packing(content)
        model = skops.io.loads(content, trusted=_foreign_types(content))
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file may fail anywhere in the library
        raise DataError(
            f"the model cannot be read: {type(error).__name__}: {error}", "retrain it"
        ) from None
    return _checked(model, estimator, task)


def _foreign_types(content: bytes) -> list[str]:
    """Return the types beyond those that skops trusts, all of which are on our list."""
    import skops.io

    found: list[str] = skops.io.get_untrusted_types(data=content)
    foreign = [name for name in found if name not in _TRUSTED]
    if foreign:
        raise DataError(
            f"the model holds foreign types: {', '.join(foreign[:5])}",
            "only models that MatCraft trained are read; retrain it",
        )
    return found


def _check_packing(content: bytes) -> None:
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            packed = [i.filename for i in archive.infolist() if i.compress_type != ZIP_STORED]
    except BadZipFile:
        raise DataError("the model is no skops file", "retrain it") from None
    if packed:
        raise DataError("the model is compressed, which MatCraft's never are", "retrain it")


def _checked(model: Any, estimator: str, task: Task) -> Any:
    kind = TABLE[estimator]
    if kind is None:
        if not isinstance(model, dict):
            raise _other(model, estimator)
        try:
            return GaussianModel.from_data(model)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise DataError(f"the Gaussian process is damaged: {error}", "retrain it") from None
    module, name = kind.make[task]
    expected = getattr(importlib.import_module(module), name)
    last = model
    if kind.is_linear:
        from sklearn.pipeline import Pipeline

        if type(model) is not Pipeline:
            raise _other(model, estimator)
        last = model.steps[-1][1]
    if type(last) is not expected:
        raise _other(last, estimator)
    return model


def _other(model: Any, estimator: str) -> DataError:
    return DataError(f"the model is {type(model).__name__}, not '{estimator}'", "retrain it")
