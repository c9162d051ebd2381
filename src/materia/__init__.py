"""MatCraft: data-driven materials discovery that a lab can run itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materia.version import __version__

if TYPE_CHECKING:
    from materia.library import Campaign

__all__ = ["Campaign", "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that `import materia` costs no numerics.
    if name == "Campaign":
        from materia.library import Campaign

        return Campaign
    raise AttributeError(f"module 'materia' has no attribute {name!r}")
