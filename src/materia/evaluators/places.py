"""Which files a definition may name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from materia import visibility
from materia.errors import AccessError, DataError


@dataclass(frozen=True)
class Places:
    """Folders below which files may be read.

    Attributes:
        roots: Allowed folders, resolved.
        base_dir: Folder of the definition file, which relative paths start from; None when the
            definition did not come from a file. It grants no access by itself.
    """

    roots: tuple[Path, ...]
    base_dir: Path | None = None

    @classmethod
    def of(cls, data_roots: Sequence[Path], base_dir: Path | None = None) -> Places:
        """Return places with every root resolved."""
        return cls(tuple(Path(root).resolve() for root in data_roots), base_dir)

    def find(self, name: str) -> Path:
        """Return the resolved path of an existing ordinary file inside one of the roots.

        Raises:
            AccessError: The resolved target lies outside every root; nothing was read.
            DataError: There is no such file.
        """
        if not name or "\0" in name:
            raise DataError("the path of a file is empty or holds a NUL character")
        start = self.base_dir or (self.roots[0] if self.roots else Path())
        try:
            target = (start / name).resolve()
            is_file = target.is_file()
        except (OSError, RuntimeError) as error:  # too long, or links that lead round in a circle
            what = f"the file '{name[:40]}…' cannot be looked at: {error}"[:200]
            raise DataError(what, "name an ordinary file") from error
        if not any(target.is_relative_to(root) for root in self.roots):
            raise AccessError(
                f"'{name}' lies outside the folders that may be read",
                "put the file below the data root, or add its folder to MATERIA_DATA_ROOTS",
            )
        if not is_file or visibility.is_hidden(target):
            raise DataError(
                f"there is no file '{name}'",
                "a relative path starts at the folder of the definition"
                if self.base_dir
                else "a relative path starts at the data root",
            )
        return target
