"""What validation found, in words for the person who wrote the definition."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from materia.errors import DefinitionError
from materia.mdl.places import Path, Place, written

MAX_FINDINGS = 100
"""So many are kept; nobody reads more, and looking for more costs time."""

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or doubtful.

    Args:
        level: An error keeps the campaign from running; a warning does not.
        path: Where, as in ``parameters[2].bounds``; empty for the whole definition.
        line: Line of the text, counted from 1; None when the source was no text.
        message: What is wrong and what is allowed.
        fix: What to do about it.
    """

    level: Level
    path: str
    line: int | None
    message: str
    fix: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data with the keys level, path, line, message and fix."""
        return asdict(self)

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line else []
        where += [self.path] if self.path else []
        text = f"{', '.join(where)}: {self.message}" if where else self.message
        return f"{text} ({self.fix})" if self.fix else text


class Findings:
    """Collects findings while a definition is read and checked."""

    def __init__(self) -> None:
        self.root: Place | None = None
        """Places of the values, once the text has been read."""
        self._found: list[tuple[Path, Finding]] = []
        self.is_full = False
        """Whether there is no room for more; looking further is in vain."""

    def error(
        self, path: Path, message: str, fix: str | None = None, *, line: int | None = None
    ) -> None:
        """Note what keeps the campaign from running; `line` overrides the one of `path`."""
        self._add("error", path, message, fix, line)

    def warn(self, path: Path, message: str, fix: str | None = None) -> None:
        """Note what is probably not meant."""
        self._add("warning", path, message, fix, None)

    def _add(
        self, level: Level, path: Path, message: str, fix: str | None, line: int | None
    ) -> None:
        if len(self._found) >= MAX_FINDINGS:
            self.is_full = True
            return
        if line is None and self.root is not None:
            line = self.root.at(path).line
        self._found.append((path, Finding(level, written(path), line, message, fix)))

    def forget(self) -> None:
        """Drop everything found so far, because the source is read again in another way."""
        self._found.clear()
        self.is_full = False

    @property
    def has_errors(self) -> bool:
        """Whether anything found keeps the campaign from running."""
        return self.is_full or any(f.level == "error" for _, f in self._found)

    def blames(self, path: Path) -> bool:
        """Whether an error stands at `path` or at something that contains it."""
        return any(f.level == "error" and p and path[: len(p)] == p for p, f in self._found)

    def in_order(self, sections: tuple[str, ...]) -> list[Finding]:
        """Return the findings by line or, without lines, by section and place in it."""

        def rank(item: tuple[Path, Finding]) -> tuple[int, int, int]:
            path, finding = item
            known = bool(path) and path[0] in sections
            section = sections.index(str(path[0])) if known else -1
            entry = path[1] if len(path) > 1 and isinstance(path[1], int) else -1
            return (finding.line or 0, section, entry)

        findings = [finding for _, finding in sorted(self._found, key=rank)]
        if self.is_full:
            what = f"there are more than {MAX_FINDINGS} findings; the others are not shown"
            findings.append(Finding("error", "", None, what, "correct these first"))
        return findings


def as_error(findings: list[Finding]) -> DefinitionError:
    """Return the exception that carries every finding and speaks of the first error."""
    errors = [finding for finding in findings if finding.level == "error"]
    first = errors[0]
    others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    where = str(Finding("error", first.path, first.line, first.message))
    return DefinitionError(
        where + others,
        first.fix,
        path=first.path,
        line=first.line,
        findings=[finding.as_dict() for finding in findings],
    )
