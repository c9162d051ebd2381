"""The server that a command talks to: one that is named, or the stack on a data folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from materia.client import Client

LOCAL = "local"

Server = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="MATERIA_SERVER",
        help="address of the server [default: the stack on the data folder]",
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(help="folder given to `materia up` [default: materia-data]")
]
AsJson = Annotated[bool, typer.Option("--json", help="what the server answers, for scripts")]


def connect(server: str | None = None, data_dir: Path | None = None) -> Client:
    """Return a client; the key comes from MATERIA_API_KEY, or from the stack on the data folder."""
    from materia import settings
    from materia.client import Client, local
    from materia.errors import NotFoundError

    if server is None or server == LOCAL:
        return Client.local(data_dir)
    key = settings.current().api_key
    if key is not None:
        return Client(server, key.get_secret_value())
    try:
        url, known = local.find(data_dir)
    except NotFoundError:
        return Client(server)
    return Client(server, known if url == server.rstrip("/") else None)


def print_json(content: Any) -> None:
    """Print plain data for scripts."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
