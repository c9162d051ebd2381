"""The server that a command talks to: one that is named, or the stack on a data folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from materia.client import Client

LOCAL = "local"

Server = Annotated[
    str | None,
    typer.Option(
        metavar="[URL]",
        envvar="MATERIA_SERVER",
        help="address of the server; without one, the stack on the data folder [default]",
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(help="folder given to `materia up` [default: materia-data]")
]
AsJson = Annotated[bool, typer.Option("--json", help="what the server answers, for scripts")]


class Reach:
    """Opens a client of the server that a command was pointed at."""

    def __init__(self, server: str | None, data_dir: Path | None) -> None:
        self._server, self._data_dir = server, data_dir

    def __call__(self) -> Client:
        """Return a client; who opens it closes it."""
        return connect(self._server, self._data_dir)


def of_server(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of all commands that talk to a server.

    Args:
        command: Takes `reach`, and `as_json` if it can print what the server answers.
    """
    hints = get_type_hints(command, include_extras=True)
    own = inspect.signature(command).parameters
    options = {"as_json": (AsJson, False), "server": (Server, None), "data_dir": (DataDir, None)}
    if "as_json" not in own:
        del options["as_json"]
    parameters = [
        parameter.replace(annotation=hints[name])
        for name, parameter in own.items()
        if name not in ("reach", "as_json")
    ]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in options.items()
    ]

    @wraps(command)
    def pointed(*, server: str | None, data_dir: Path | None, **given: Any) -> None:
        command(reach=Reach(server, data_dir), **given)

    # What Typer reads: it must not look through to the command itself.
    del pointed.__wrapped__  # type: ignore[attr-defined]
    pointed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    pointed.__annotations__ = {one.name: one.annotation for one in parameters}
    return pointed


def with_local(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command with the value that a bare ``--server`` stands for.

    What follows is taken for its value, unless that is another option or a file that is there.
    """
    arguments = list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for i in reversed(range(end)):
        following = arguments[i + 1 : i + 2]
        if arguments[i] == "--server" and not (following and _is_address(following[0])):
            arguments.insert(i + 1, LOCAL)
    return arguments


def _is_address(text: str) -> bool:
    return text == LOCAL or not (text.startswith("-") or Path(text).is_file())


def connect(server: str | None = None, data_dir: Path | None = None) -> Client:
    """Return a client; the key comes from MATERIA_API_KEY, or from the stack on the data folder."""
    from materia import settings
    from materia.client import Client, local
    from materia.errors import NotFoundError

    if server is None or server == LOCAL:
        return Client.local(data_dir)
    try:
        url, known = local.find(data_dir)
    except NotFoundError:
        return Client(server)
    is_its_own = settings.current().api_key is None and url == server.rstrip("/")
    return Client(server, known if is_its_own else None)


def print_json(content: Any) -> None:
    """Print plain data for scripts."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
