"""Reading the definition file that a command was given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from materia.settings import current


@dataclass(frozen=True)
class DefinitionFile:
    """Text of a definition and the folders that it may name files in.

    On one's own machine the folder of the definition is always allowed.
    """

    path: Path
    content: bytes

    @classmethod
    def read(cls, path: Path) -> DefinitionFile:
        """Return the file; a file that cannot be read is a usage error."""
        try:
            return cls(path, path.read_bytes())
        except OSError as error:
            reason = error.strerror or str(error)
            raise typer.BadParameter(f"cannot read '{path}': {reason}") from None

    @property
    def base_dir(self) -> Path:
        """Folder that relative paths start from."""
        return self.path.resolve().parent

    @property
    def data_roots(self) -> tuple[Path, ...]:
        """Folders below which files may be read."""
        return (self.base_dir, *current().allowed_roots)
