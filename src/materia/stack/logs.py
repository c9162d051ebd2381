"""Logs of the processes: one bounded file each, kept over a few starts."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KEPT = 3
MAX_BYTES = 10_000_000
TAIL_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class ProcessLog:
    """The file that a process writes its output to."""

    path: Path

    def rotate(self) -> None:
        """Keep the present file under a number and begin a new one."""
        if not self.path.exists() or not self.path.stat().st_size:
            return
        self._shift()
        self.path.replace(self._numbered(1))

    def limit(self, max_bytes: int = MAX_BYTES) -> None:
        """Begin anew when the file has grown too long, while its process goes on writing.

        The process keeps its descriptor, hence copy and cut; lines written in between are lost.
        """
        with suppress(FileNotFoundError):
            if self.path.stat().st_size > max_bytes:
                self._shift()
                shutil.copyfile(self.path, self._numbered(1))
                self._numbered(1).chmod(0o600)
                os.truncate(self.path, 0)

    def open(self) -> int:
        """Return a descriptor that appends, so that cutting the file does no harm."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tail(self, n_lines: int = 15) -> list[str]:
        """Return the last lines."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return []
        return text.splitlines()[-n_lines:]

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _shift(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
