"""A stored model: one file with a card of plain data and the members of an ensemble.

The file is a ZIP archive without compression: `model.json` and `members/<i>.skops` (`.txt` for
LightGBM), and `model.onnx` where the ensemble has such a form (see `exchange`), for other programs:
it is never read here. The card holds
the format's version, schema, scores, versions of libraries and the SHA-256 of each member. Nothing
in it is ever unpickled; a file of another kind, a changed hash and a foreign type are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from materia.errors import DataError, MissingExtraError
from materia.ml import estimators, exchange, formats
from materia.ml.config import MAX_PARTITIONS
from materia.ml.ensemble import Answer, combine
from materia.ml.estimators import TABLE
from materia.ml.files import replacing
from materia.ml.pickles import RETRAIN, refuse_pickle
from materia.ml.schema import Schema
from materia.ml.training import TrainedModel
from materia.ml.trees import check_trees
from materia.version import __version__

FORMAT = "materia-model"
FORMAT_VERSION = 1
SUFFIX = ".model"
MAX_CARD_BYTES = 64 * 2**20
_CARD, _ONNX = "model.json", "model.onnx"


@dataclass(frozen=True)
class StoredModel:
    """A file that was written.

    Attributes:
        sha256: Of the whole file.
    """

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Model:
    """A model that was read.

    Attributes:
        card: What the file says of itself.
        members: Fitted estimators.
        runner: What answers to a few rows, if it is wanted.
    """

    card: dict[str, Any]
    schema: Schema
    estimator: str
    members: tuple[Any, ...]
    runner: exchange.Runner | None = None

    def quick(self) -> Model:
        """Return the model made ready for many calls of few rows each; its answers are the same.

        It is worth it from about ten calls on, and changes nothing where it is not possible.
        """
        try:
            content = exchange.convert(self.members, self.estimator, self.schema)
        except (exchange.Unconverted, MissingExtraError):
            return self
        return replace(self, runner=exchange.Runner(content, self.schema, len(self.members)))

    def answer(self, X: NDArray[np.float64]) -> Answer:
        """Return the common answer for encoded rows X, (n, d)."""
        if self.runner is not None and 0 < len(X) <= exchange.FEW_ROWS:
            return combine(self.runner.answers(X))
        answers = [estimators.answer(m, self.estimator, X, self.schema) for m in self.members]
        return combine(answers)


def write_model(
    path: Path, trained: TrainedModel, metadata: Mapping[str, Any] | None = None
) -> StoredModel:
    """Write a model file, whole or not at all.

    Args:
        path: Replaced if it exists.
        trained: What to store.
        metadata: Plain data that is kept with it.

    Raises:
        DataError: The folder cannot be written; an older file is untouched.
    """
    ending = "txt" if trained.card.get("estimator") == "lightgbm" else "skops"
    members = {f"members/{i}.{ending}": content for i, content in enumerate(trained.members)}
    contents = members if trained.onnx is None else {**members, _ONNX: trained.onnx}
    card = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **trained.card,
        "metadata": dict(metadata or {}),
        "versions": {
            "materia": __version__,
            **{name: version(name) for name in _libraries(trained.card)},
        },
        "members": [
            {"file": name, "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in members.items()
        ],
    }
    text = json.dumps(card, indent=1, allow_nan=False).encode()
    with replacing(path) as temporary:
        with ZipFile(temporary, "w", ZIP_STORED) as archive:
            # A fixed time: the same training gives the same card.
            archive.writestr(ZipInfo(_CARD), text)
            for name, content in contents.items():
                archive.writestr(ZipInfo(name), content)
        digest, size = _digest(temporary), temporary.stat().st_size
    return StoredModel(path, digest, size)


def read_card(path: Path) -> dict[str, Any]:
    """Return what a model file says of itself; its members are not looked at.

    Raises:
        NotFoundError: There is no such file.
        DataError: It is no model file of ours.
    """
    refuse_pickle(path)
    try:
        with ZipFile(path) as archive:
            return _card(archive, path)
    except BadZipFile:
        raise _not_ours(path) from None


def read_model(path: Path, sha256: str | None = None) -> Model:
    """Return a stored model.

    Args:
        path: Of the file.
        sha256: What the whole file must hash to, where it is known.

    Raises:
        NotFoundError: There is no such file.
        DataError: It is no model file of ours, was changed, or holds a foreign type.
    """
    refuse_pickle(path)
    if sha256 is not None and _digest(path) != sha256:
        raise _changed(path, "the file is not the one that was registered")
    try:
        with ZipFile(path) as archive:
            card = _card(archive, path)
            contents = [_member(archive, entry, path) for entry in _entries(card, path)]
    except BadZipFile:
        raise _not_ours(path) from None
    schema, estimator = Schema.from_data(card.get("schema")), str(card.get("estimator"))
    if estimator not in TABLE or schema.task not in estimators.tasks_of(estimator):
        raise DataError(f"'{path.name}' names an unknown estimator, {estimator!r}", RETRAIN)
    members = [formats.from_bytes(content, estimator, schema.task) for content in contents]
    model = Model(card, schema, estimator, tuple(members))
    _check_fit(model, path)
    return model


def _libraries(card: Mapping[str, Any]) -> list[str]:
    also = {
        "lightgbm": card.get("estimator") == "lightgbm",
        "scikit-learn-intelex": card.get("backend") == "intelex",
    }
    return ["scikit-learn", "skops", "numpy", *(name for name, is_used in also.items() if is_used)]


def _card(archive: ZipFile, path: Path) -> dict[str, Any]:
    names = archive.namelist()
    if _CARD not in names or len(names) > MAX_PARTITIONS + 2:
        raise _not_ours(path)
    if any(entry.compress_type != ZIP_STORED for entry in archive.infolist()):
        raise _not_ours(path)
    if archive.getinfo(_CARD).file_size > MAX_CARD_BYTES:
        raise DataError(f"'{path.name}': its card is larger than {MAX_CARD_BYTES // 2**20} MB")
    try:
        card = json.loads(archive.read(_CARD))
    except (ValueError, RecursionError):
        raise _changed(path, "its card is no JSON") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise _not_ours(path)
    if card.get("format_version") != FORMAT_VERSION:
        raise DataError(
            f"'{path.name}' has format version {card.get('format_version')!r}, "
            f"this release reads {FORMAT_VERSION}",
            "retrain it, or read it with the release that wrote it",
        )
    return card


def _entries(card: Mapping[str, Any], path: Path) -> list[Mapping[str, Any]]:
    members = card.get("members")
    if (
        not isinstance(members, list)
        or not 1 <= len(members) <= MAX_PARTITIONS
        or not all(isinstance(m, dict) and isinstance(m.get("file"), str) for m in members)
    ):
        raise _changed(path, "its card lists no members")
    return members


def _member(archive: ZipFile, entry: Mapping[str, Any], path: Path) -> bytes:
    try:
        content = archive.read(entry["file"])
    except KeyError:
        raise _changed(path, f"'{entry['file']}' is missing") from None
    if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
        raise _changed(path, f"the hash of '{entry['file']}' differs")
    return content


def _check_fit(model: Model, path: Path) -> None:
    """Let the members answer for one row, so that none fails later on a whole batch."""
    try:
        for member in model.members:
            check_trees(member, len(model.schema.features))
        model.answer(np.zeros((1, len(model.schema.features))))
    except DataError as error:
        raise _changed(path, error.message) from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise _changed(path, f"a member does not fit the schema ({error})") from None


def _not_ours(path: Path) -> DataError:
    return DataError(f"'{path.name}' is no model file of MatCraft", RETRAIN)


def _changed(path: Path, what: str) -> DataError:
    return DataError(
        f"'{path.name}' was changed or damaged: {what}", "restore it from a copy, or retrain it"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
