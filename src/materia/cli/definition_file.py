"""Reading the definition file that a command was given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from materia.errors import DataError
from materia.mdl.files import read_file
from materia.stack.environment import read_settings


@dataclass(frozen=True)
class DefinitionFile:
    """Text of a definition and the folders that it may name files in.

    On one's own machine the folder of the definition is always allowed.

    Attributes:
        data_dir: As of the settings, where it was given on the command line.
    """

    path: Path
    content: bytes
    data_dir: Path | None = None

    @classmethod
    def read(cls, path: Path, data_dir: Path | None = None) -> DefinitionFile:
        """Return the file; a file that cannot be read is a usage error."""
        try:
            return cls(path, read_file(path), data_dir)
        except DataError as error:
            raise typer.BadParameter(str(error)) from None

    @property
    def base_dir(self) -> Path:
        """Folder that relative paths start from."""
        return self.path.resolve().parent

    @property
    def data_roots(self) -> tuple[Path, ...]:
        """Folders below which files may be read."""
        return (self.base_dir, *read_settings(data_dir=self.data_dir).allowed_roots)
