"""API keys of a server; the same for both clients."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from materia.client.nouns import JSON, Noun, as_json, key_of
from materia.client.steps import Call, got, one_page, sent


class Keys(Noun):
    """Who may use a server, and for what; all but `current` needs the scope ``admin``."""

    path = "/api-keys"

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] = ("write",),
        owner: str | None = None,
        expires_at: datetime | str | None = None,
    ) -> Any:
        """Make a key and return it; ``key`` is its secret, which is told this once.

        Args:
            scopes: Of read, write and admin; each includes those before it.
            owner: Keys of one owner share their work; the name if None.
            expires_at: It opens nothing from then on; a time has a zone.
        """
        body = {"name": name, "scopes": list(scopes), "owner": owner, "expires_at": expires_at}
        # Sent again, it would be answered without the secret: then nobody has that key.
        call = Call(
            "POST",
            self.path,
            content=as_json(body),
            headers={**JSON, **key_of(None)},
            is_repeatable=False,
        )
        return self._run(sent(call))

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Any:
        """Return a page of keys, the newest first: ``{items, next_cursor, total}``."""
        return self._run(one_page(self.path, limit=limit, cursor=cursor))

    def get(self, key_id: str) -> Any:
        """Return one key, without its secret."""
        return self._run(got(self._at(key_id)))

    def current(self) -> Any:
        """Return what the key of this client may do: ``{id, name, owner, scopes}``."""
        return self._run(got(f"{self.path}/current"))

    def revoke(self, key_id: str) -> Any:
        """Let a key open nothing from now on, and return it; twice is fine."""
        return self._run(sent(Call("POST", self._at(key_id, "/revoke"))))

    def audit(
        self, *, refused: bool | None = None, limit: int = 50, cursor: str | None = None
    ) -> Any:
        """Return a page of who changed what and what was refused, the newest first.

        Args:
            refused: Only what was refused, or only what was done.
        """
        chosen = None if refused is None else str(refused).lower()
        path = f"{self.path}/audit"
        return self._run(one_page(path, limit=limit, cursor=cursor, refused=chosen))
