"""Datasets: the tables below the folders that tasks may touch, alone or in parts."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from materia import settings, visibility
from materia.errors import DataError, MateriaError, NotFoundError
from materia.services import files
from materia.services.arguments import TABLES
from materia.store import datasets as rows
from materia.store.database import database

MAX_FILES = 20_000
SAMPLE_ROWS = 10_000
# Up to so many bytes a description reads everything; beyond it, the beginning.
READ_WHOLE_BYTES = 64 * 2**20
# Folders of results, which nobody means by a dataset.
LEFT_OUT = frozenset({"exports", "models", "predictions", "__pycache__"})
_PART = re.compile(r"(.+)_part_\d+\.(?:csv|parquet)", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:part|chunk)?[-_.]?\d+\.(?:csv|parquet)", re.IGNORECASE)

Row = dict[str, Any]


@dataclass(slots=True)
class _Found:
    """A dataset that was met while looking through folders."""

    path: str
    kind: str
    n_files: int = 0
    size_bytes: int = 0
    changed_at: float = 0.0

    def add(self, stat: os.stat_result) -> None:
        self.n_files += 1
        self.size_bytes += stat.st_size
        self.changed_at = max(self.changed_at, stat.st_mtime)


@dataclass(slots=True)
class _Listing:
    found: dict[str, _Found] = field(default_factory=dict)
    n_files: int = 0


def every() -> list[Row]:
    """Return all datasets by path; of very many files only the first `MAX_FILES` are looked at.

    Rows and types are those of the last look at each, None where there was none since it changed:
    a listing reads no file.
    """
    listing = _Listing()
    for root in dict.fromkeys(settings.current().allowed_roots):
        for folder, names in _folders(root):
            _look(folder, names, listing)
            if listing.n_files >= MAX_FILES:
                break
    root = settings.current().data_root.resolve()
    seen = [one for one in listing.found.values() if not visibility.is_hidden(root / one.path)]
    found = sorted(seen, key=lambda one: one.path)
    keys = ("path", "kind", "n_files", "size_bytes", "changed_at")
    with database().read() as connection:
        known = {row["path"]: row for row in rows.every(connection)}
    return [_listed({key: getattr(one, key) for key in keys}, known) for one in found]


def _listed(found: Row, known: dict[str, Row]) -> Row:
    """Add what the last look told, as long as it holds."""
    row = known.get(found["path"])
    if row is None or not is_same(row, found):
        return {**found, "rows": None, "n_columns": None, "types": None, "is_upload": False}
    types = Counter(column["type"] for column in row["columns"])
    told = {"n_columns": len(row["columns"]), "types": dict(types.most_common())}
    return {**found, "rows": row["rows"], **told, "is_upload": row["is_upload"]}


def is_same(one: Row, other: Row) -> bool:
    """Tell whether two looks met the same files, as far as number, size and time tell."""
    return all(one[key] == other[key] for key in ("n_files", "size_bytes", "changed_at"))


def look(name: str, delimiter: str = ",") -> Row:
    """Do what `describe` does, and keep what was seen for listings."""
    found = describe(name, delimiter)
    with database().read() as connection:
        known = rows.get(connection, found["path"])
    is_upload = known is not None and known["is_upload"] and is_same(known, found)
    if known is None or not is_same(known, found) or known["columns"] != found["columns"]:
        keep(found, is_upload=is_upload)
    return listed(found, is_upload=is_upload)


def listed(found: Row, *, is_upload: bool) -> Row:
    """Return what `describe` has found with what a listing shows."""
    return _listed(found, {found["path"]: {**found, "is_upload": is_upload}})


def keep(found: Row, *, is_upload: bool) -> None:
    """Keep what `describe` has found of a dataset.

    Args:
        is_upload: Whether it was sent to the server, which may then delete it.
    """
    row = {key: found[key] for key in rows.COLUMNS if key != "is_upload"}
    with database().write() as connection:
        rows.put(database(), connection, {**row, "is_upload": is_upload})


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield folders with their tables; links are not followed."""
    for folder, inside, names in os.walk(root):
        is_top = Path(folder) == root
        inside[:] = sorted(
            name for name in inside if name[0] != "." and not (is_top and name in LEFT_OUT)
        )
        tables = [n for n in names if n[0] != "." and n.lower().endswith(TABLES)]
        if tables:
            yield Path(folder), sorted(tables)


def _look(folder: Path, names: list[str], listing: _Listing) -> None:
    is_whole = len(names) > 1 and all(_NUMBERED.fullmatch(name) for name in names)
    for name in names:
        part = _PART.fullmatch(name)
        if is_whole:
            path, kind = folder, "folder"
        else:
            path = folder / (part[1] if part else name)
            kind = "parts" if part else "file"
        file = folder / name
        if file.is_symlink() or not file.is_file():
            continue
        shown = files.shown(path)
        listing.found.setdefault(shown, _Found(shown, kind)).add(file.stat())
        listing.n_files += 1


def describe(name: str, delimiter: str = ",") -> Row:
    """Return what is in a dataset: columns with their types, rows, what would be learnt from it.

    Of a large dataset types are those of the first rows, and neither rows of CSV are counted nor is
    the content hashed.

    Raises:
        AccessError: It lies outside the allowed folders.
        NotFoundError: There is no such dataset.
        DataError: It is no table; says why.
    """
    path = files.resolve(name)
    parts = parts_of(path)
    stats = [part.stat() for part in parts]
    size = sum(stat.st_size for stat in stats)
    is_whole = size <= READ_WHOLE_BYTES
    kind = "folder" if path.is_dir() else ("file" if path.is_file() else "parts")
    from materia.data import looked_at

    seen = [looked_at(part, delimiter, SAMPLE_ROWS, is_whole=is_whole) for part in parts]
    counts = [one.n_rows for one in seen]
    known = [count for count in counts if count is not None]
    first = seen[0]
    return {
        "path": files.shown(path),
        "kind": kind,
        "n_files": len(parts),
        "size_bytes": size,
        "changed_at": max(stat.st_mtime for stat in stats),
        "rows": sum(known) if len(known) == len(counts) else None,
        "rows_rejected": sum(one.n_rejected for one in seen) if is_whole else None,
        "columns": first.columns,
        "n_sampled": len(first.frame),
        "learning": _learning(first.frame),
        "sha256": _sha256(parts) if is_whole else None,
    }


def parts_of(path: Path) -> list[Path]:
    """Return the files of a dataset; a single one may also be compressed."""
    from materia.data import require_polars

    require_polars("looking at a table")
    if path.is_file():
        return [path]
    try:
        from materia.ml.reading import dataset_files
    except MateriaError:  # without the extra, parts are not known
        raise NotFoundError(f"there is no file {path.name!r}") from None
    found = dataset_files(path)
    for part in found:
        files.resolve(str(part))
    return found


def _learning(frame: Any) -> Row:
    """Return what a training would take for the target, and for which task."""
    try:
        from materia.ml.config import TrainingConfig
        from materia.ml.dataset import make_dataset

        found = make_dataset(frame, TrainingConfig())
    except DataError as error:
        return {"target": None, "task": None, "features": [], "remarks": [error.message]}
    schema = found.schema
    return {
        "target": schema.target,
        "task": schema.task,
        "features": list(schema.names),
        "remarks": list(found.remarks),
    }


def _sha256(parts: list[Path]) -> str:
    """Return the hash of a file's content; of parts, that of their hashes in order."""
    digests = []
    for part in parts:
        with part.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
