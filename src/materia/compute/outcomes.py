"""What becomes of an item, and the one function that every backend offers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Value = TypeVar("Value", covariant=True)

DIED = "ProcessDied"
"""`Failed.error_type` of an item whose process ended under it."""


@dataclass(frozen=True, slots=True)
class Done(Generic[Value]):
    """What the function returned.

    Attributes:
        attempts: How often the item was tried, this time included.
    """

    value: Value
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no value.

    Attributes:
        error_type: Name of the exception's class, or `DIED`.
        message: The exception as text.
        traceback: Where it was raised, shortened to its end; empty for `DIED`.
        attempts: How often the item was tried, this time included.
    """

    error_type: str
    message: str
    traceback: str = ""
    attempts: int = 1


Outcome: TypeAlias = Done[Any] | Failed
Progress: TypeAlias = Callable[[float, float | None, str], None]
"""Called with done, total and a message; what it raises cancels the work."""
OnResult: TypeAlias = Callable[[int, Outcome], None]
"""Called with the index and the outcome of an item as it ends; what it raises cancels the work."""


class MapItems(Protocol):
    """The function of a backend; `materia.compute.processes.map_items` says what it promises."""

    def __call__(
        self,
        function: Callable[[Item, Any], Result],
        items: Iterable[Item],
        *,
        shared: Any = None,
        n_processes: int,
        attempts: int = 1,
        memory_limit_bytes: int | None = None,
        progress: Progress,
        on_result: OnResult | None = None,
    ) -> list[Done[Result] | Failed]:
        """Return the outcome of ``function(item, shared)`` for every item, in their order."""
