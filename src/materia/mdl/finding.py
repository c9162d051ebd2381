"""What validation found, in words for the person who wrote the definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from materia.errors import DefinitionError


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

    level: Literal["error", "warning"]
    path: str
    line: int | None
    message: str
    fix: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data with the keys level, path, line, message and fix."""
        return asdict(self)

    def __str__(self) -> str:
        where = ", ".join(
            part for part in (f"line {self.line}" if self.line else "", self.path) if part
        )
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} ({self.fix})" if self.fix else text


def as_error(findings: Sequence[Finding]) -> DefinitionError:
    """Return the exception that carries every finding and speaks of the first error."""
    errors = [finding for finding in findings if finding.level == "error"]
    first = errors[0]
    where = f"{first.path}: " if first.path else ""
    line = f"line {first.line}, " if first.line else ""
    others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return DefinitionError(
        f"{line}{where}{first.message}{others}",
        first.fix,
        path=first.path,
        line=first.line,
        findings=[finding.as_dict() for finding in findings],
    )
