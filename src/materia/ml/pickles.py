"""Files of models that would run code: told by their names and first bytes, and refused."""

from __future__ import annotations

from pathlib import Path

from materia.errors import DataError, NotFoundError

_PICKLES = (".pkl", ".pickle", ".joblib", ".sav", ".dill", ".cloudpickle")
# Protocol 2 and later, then what joblib compresses by: zlib, gzip, bzip2, xz and lz4.
_PICKLE_STARTS = tuple(
    map(bytes.fromhex, ("80", "7801", "785e", "789c", "78da", "1f8b", "425a", "fd37", "0422"))
)
RETRAIN = (
    "retrain it from its table (ml_tasks.distributed_training), or convert it: where you trust the "
    "file, save its estimator by skops.io.dump, then materia.ml.conversion.convert reads that"
)


def refuse_pickle(path: Path) -> None:
    """Raise unless a file is there that does not look like a pickle; nothing of it is loaded."""
    if not path.is_file():
        if path.suffix.lower() in _PICKLES:
            raise _pickle(path)
        raise NotFoundError(f"there is no model file '{path.name}'")
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix.lower() in _PICKLES or start.startswith(_PICKLE_STARTS):
        raise _pickle(path)


def _pickle(path: Path) -> DataError:
    return DataError(
        f"'{path.name}' is a pickle, which runs code when it is read, and is never loaded",
        RETRAIN,
    )
