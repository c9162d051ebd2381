"""What routes take from a request: ids, the caller, the idempotency key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Path, Request
from fastapi.dependencies.models import Dependant

from materia.api.bodies import Raw
from materia.api.problems import Refusal
from materia.mdl.suggest import closest
from materia.services.idempotency import Once
from materia.services.keys import Caller

Content = TypeVar("Content")

# Control characters are in no id, and PostgreSQL refuses some of them.
PLAIN = r"^[^\x00-\x1f\x7f]*$"
Id = Annotated[str, Path(min_length=1, max_length=255, pattern=PLAIN)]


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="the same key with the same body takes effect once; a UUID is a good one",
    ),
]


def once_of(request: Request, key: str | None, body: bytes) -> Once | None:
    """Return what makes a request take effect once, None without a key.

    Args:
        body: Whatever tells two bodies apart.
    """
    if key is None:
        return None
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Refusal(
            422,
            "Idempotency-Key: 1 to 255 printable ASCII characters",
            "a UUID is a good key",
            path="Idempotency-Key",
        )
    query = f"?{request.url.query}" if request.url.query else ""
    digest = hashlib.sha256(f"{request.method} {request.url.path}{query}\n".encode() + body)
    caller: Caller = request.state.caller
    return Once(caller.owner, key, digest.hexdigest())


async def _once(request: Request, body: Raw, key: Key = None) -> Once | None:
    return once_of(request, key, body)


MaybeOnce = Annotated[Once | None, Depends(_once)]


def harmless(once: Once | None, act: Callable[[], Content]) -> Content:
    """Return the answer to a request whose effect is the same however often it comes.

    A key makes only its answer the same: that is kept after the effect, not with it.
    """
    if once is None:
        return act()
    known: Any = once.known_answer()
    return once.remember(act()) if known is None else known


async def only_known_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not declare: ignored, they would mislead."""
    allowed = list(_declared(request.scope["route"].dependant))
    unknown = [name for name in request.query_params if name not in allowed]
    if not unknown:
        return
    meant = closest(unknown[0], allowed)
    listed = f"allowed: {', '.join(allowed)}" if allowed else "this path takes none"
    raise Refusal(
        422,
        f"{unknown[0]}: there is no such query parameter"
        + (f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""),
        f"did you mean '{meant}'? {listed}" if meant else listed,
        path=unknown[0],
    )


def _declared(dependant: Dependant) -> Iterator[str]:
    """Yield the query parameters of a route and of what it depends on."""
    yield from (parameter.alias for parameter in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _declared(inner)
