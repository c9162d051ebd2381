"""The server that a command talks to: one that is named, or the stack on a data folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
