"""What a job has finished so far, kept for the next attempt should this one die."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import orjson
from numpy.typing import NDArray

from materia import log, settings

META = "__meta__"

logger = log.logger(__name__)


def folder_name(job_id: str) -> str:
    """Return the name of the folder of a job, whose id may hold anything."""
    return hashlib.sha256(job_id.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Partial:
    """Finished items of one job, each a file of arrays and plain data; reading runs no code.

    Attributes:
        fingerprint: Of everything that the items follow from; items of another one are ignored.
    """

    folder: Path
    fingerprint: str

    @classmethod
    def of(cls, job_id: str, *inputs: Any) -> Partial:
        """Return what is kept for a job.

        Args:
            inputs: Plain data and files; of a file its size and time of change count.
        """
        told = [
            [str(item), item.stat().st_size, item.stat().st_mtime_ns]
            if isinstance(item, Path)
            else item
            for item in inputs
        ]
        digest = hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()
        return cls(settings.current().artifact_dir / "jobs" / folder_name(job_id), digest)

    def keep(self, index: int, meta: Any, arrays: dict[str, NDArray[Any]] | None = None) -> None:
        """Keep a finished item, whole or not at all."""
        buffer = BytesIO()
        text = orjson.dumps([self.fingerprint, meta], option=orjson.OPT_SERIALIZE_NUMPY)
        np.savez(
            buffer,
            allow_pickle=False,
            **{META: np.frombuffer(text, dtype=np.uint8)},
            **(arrays or {}),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{index}.{os.getpid()}"
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(self.folder / f"{index}.npz")

    def finished(self, first: int = 0) -> dict[int, tuple[Any, dict[str, NDArray[Any]]]]:
        """Return the items from index `first` on that an earlier attempt finished, by index."""
        found = {}
        for path in sorted(self.folder.glob("*.npz")):
            if int(path.stem) < first:
                continue
            item = self._read(path)
            if item is not None:
                found[int(path.stem)] = item
        if found:
            logger.info("finished_items_found", n=len(found))
        return found

    def _read(self, path: Path) -> tuple[Any, dict[str, NDArray[Any]]] | None:
        try:
            with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files if name != META}
                fingerprint, meta = orjson.loads(archive[META].tobytes())
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            logger.warning("finished_item_unreadable", path=str(path), reason=str(error))
            return None
        return (meta, arrays) if fingerprint == self.fingerprint else None

    def forget(self) -> None:
        """Delete what was kept: the job has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)
