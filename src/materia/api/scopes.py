"""What a request needs: a scope of its key, and that what it names belongs to its owner.

A router or route declares its scope as one of its `dependencies`: `READ`, `WRITE`, `ADMIN`, or
`USUAL` for reading with GET and writing with the other methods; the innermost one counts. What
declares nothing is an admin's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from materia.api.problems import Refusal
from materia.services import access
from materia.services.access import ForeignError
from materia.services.keys import Caller

READS = {"GET", "HEAD", "WEBSOCKET"}


class Needs:
    """Declares a scope; `admit` below is what looks at it."""

    def __init__(self, scope_for: Callable[[str], str]) -> None:
        self.scope_for = scope_for

    # Asynchronous, as all that is done for each request: the others wait for a thread.
    async def __call__(self) -> None:
        """Do nothing by itself."""


READ = Depends(Needs(lambda _: "read"))
WRITE = Depends(Needs(lambda _: "write"))
ADMIN = Depends(Needs(lambda _: "admin"))
USUAL = Depends(Needs(lambda method: "read" if method in READS else "write"))

# A parameter of a path by this name is the id of something that has an owner.
OWNED = {f"{noun}_id": noun for noun in access.UNKNOWN}


def needed(route: Any, method: str) -> str:
    """Return the scope that an operation needs.

    Args:
        route: Of FastAPI, with `dependencies`.
        method: In capitals; WEBSOCKET for one.
    """
    declared = [one.dependency for one in route.dependencies if isinstance(one.dependency, Needs)]
    return declared[-1].scope_for(method) if declared else "admin"


async def admit(connection: HTTPConnection) -> None:
    """Refuse what the caller may not do; it runs before anything else of a route does."""
    caller: Caller | None = connection.state.caller
    if caller is None:
        return
    method = str(connection.scope.get("method", "WEBSOCKET"))
    scope = needed(connection.scope["route"], method)
    connection.state.scope = scope
    if scope not in caller.scopes:
        connection.state.refused = "scope"
        raise Refusal(
            403,
            f"the key {caller.name!r} has no scope '{scope}'",
            f"use a key with the scope '{scope}', or ask the admin of this server for one",
        )
    # A live view says itself that there is no such thing, in the way of live views.
    if not caller.is_admin and method != "WEBSOCKET":
        await _require_own(connection, caller)


async def _require_own(connection: HTTPConnection, caller: Caller) -> None:
    for name, value in connection.path_params.items():
        if name in OWNED and not access.is_known(caller, OWNED[name], str(value)):
            try:
                await run_in_threadpool(access.require, caller, OWNED[name], str(value))
            except ForeignError:
                connection.state.refused = "another_owner"
                raise


async def _caller(connection: HTTPConnection) -> Caller:
    found: Caller = connection.state.caller
    return found


Who = Annotated[Caller, Depends(_caller)]
