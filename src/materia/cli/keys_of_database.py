"""Keys by the database itself, for an operator who has no key yet; as the client's `Keys`."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from materia import settings
from materia.errors import NotFoundError
from materia.services import audit, keys
from materia.store.database import database

Value = TypeVar("Value")


class KeysOfDatabase:
    """What an admin's key can do, without one.

    Args:
        data_dir: As given to ``materia up``; the folder of the settings if None.
    """

    def __init__(self, data_dir: Path | None) -> None:
        if data_dir is not None:
            os.environ["MATERIA_DATA_DIR"] = str(data_dir.expanduser().resolve())
            settings.current.cache_clear()

    def create(
        self, name: str, *, scopes: list[str], owner: str | None, expires_at: datetime | None
    ) -> Any:
        """Make a key and return it with its secret."""
        at = None if expires_at is None else expires_at.timestamp()
        new = keys.NewKey(name, tuple(scopes), owner, at, created_by="command line")
        row, secret = _done(lambda: keys.create(new))
        return {**_shown(row), "key": secret}

    def list(self, *, limit: int) -> Any:
        """Return a page of keys, the newest first."""
        rows = _done(keys.every)
        items = [_shown(row) for row in rows[:limit]]
        return {"items": items, "next_cursor": None, "total": len(rows)}

    def revoke(self, key_id: str) -> Any:
        """Let a key open nothing from now on, and return it."""
        return _shown(_done(lambda: keys.revoke(key_id)))

    def audit(self, *, refused: bool | None, limit: int) -> Any:
        """Return a page of who changed what, the newest first."""
        rows, total = _done(lambda: audit.page(limit, None, refused))
        return {"items": [_timed(row) for row in rows], "next_cursor": None, "total": total}


def _done(act: Callable[[], Value]) -> Value:
    _require_there(settings.current().database)
    try:
        return act()
    finally:
        database().close()


def _require_there(url: str) -> None:
    """Raise a `NotFoundError` instead of making an empty database."""
    kind, _, path = url.partition(":///")
    if kind.startswith("sqlite") and not Path(unquote(path)).exists():
        raise NotFoundError(
            f"there is no database at {unquote(path)}",
            "--data-dir names the folder of a stack, MATERIA_DATABASE_URL another database;"
            " `python -m materia.store.migrate` makes one",
        )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name != "sha256"}
    return _timed({**shown, "state": keys.state_of(row)})


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    times = {name: row[name] for name in row if name == "time" or name.endswith("_at")}
    written = {n: at and datetime.fromtimestamp(at, UTC).isoformat() for n, at in times.items()}
    return {**row, **written}
