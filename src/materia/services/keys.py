"""API keys: who may come in, and for what.

A key is 256 random bits, so that nobody finds it by trying. That is why one round of SHA-256 is
enough to keep it by: the slow hashes that passwords need would only slow every request down.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, get_args

from materia.errors import AccessError, DefinitionError, NotFoundError, TransientError
from materia.mdl.suggest import did_you_mean
from materia.services.idempotency import Once
from materia.services.work import unit_of_work
from materia.store import keys as rows
from materia.store.database import database
from materia.store.jobs import Row

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)
"""What a key may do; each includes those before it."""

FIRST = "first-admin-key"
"""Id of the key that a new server makes for its operator."""

PREFIX = "mat_"
SHOWN = 12
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@:-]{0,127}")
# How long a look at a key holds; a key that this process revokes is forgotten at once.
TRUSTED_S = 2.0
NOTE_USE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request.

    Args:
        name: Of the key.
        owner: Whose work the key makes and sees; an admin sees everybody's.
        scopes: What it may do, those that are included as well.
        key_id: Of its row; None for the key of the settings.
    """

    name: str
    owner: str
    scopes: frozenset[str]
    key_id: str | None = None

    @property
    def is_admin(self) -> bool:
        """Whether it may do everything."""
        return "admin" in self.scopes

    @property
    def sees(self) -> str | None:
        """The owner whose work it is shown; None for everybody's."""
        return None if self.is_admin else self.owner


OPERATOR = Caller("api", "api", frozenset(SCOPES))
"""Who has the key of the settings."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be made.

    Args:
        name: What people call it.
        scopes: Of read, write and admin; each includes those before it.
        owner: Keys of one owner share their work; the name unless given.
        expires_at: It opens nothing from then on, in seconds since the epoch; None never ends.
    """

    name: str
    scopes: Sequence[str] = ("write",)
    owner: str | None = None
    expires_at: float | None = None
    created_by: str | None = None

    def check(self) -> None:
        """Raise a `DefinitionError` where something does not fit."""
        for field, text in (("name", self.name), ("owner", self.owner)):
            if text is not None and not NAME.fullmatch(text):
                raise DefinitionError(
                    f"{field}: {text[:140]!r} will not do",
                    "1 to 128 letters, digits, spaces and . _ @ : -, beginning with a letter"
                    " or digit",
                    path=field,
                )
        allowed = f"allowed: {', '.join(SCOPES)}"
        if not self.scopes:
            raise DefinitionError("scopes: a key without one opens nothing", allowed, path="scopes")
        for scope in self.scopes:
            if scope not in SCOPES:
                fix = did_you_mean(str(scope)[:50], SCOPES) or allowed
                raise DefinitionError(
                    f"scopes: {scope!r:.50} is none of {', '.join(SCOPES)}", fix, path="scopes"
                )
        if self.expires_at is not None and self.expires_at <= time.time():
            raise DefinitionError(
                "expires_at: that time has passed",
                "give a later time, or leave it out for a key that does not expire",
                path="expires_at",
            )


def create(
    new: NewKey, *, once: Once | None = None, key_id: str | None = None
) -> tuple[Row, str | None]:
    """Make a key.

    Returns:
        Its row and its secret, which is told this once: None where the same request came before,
        or where there is a key of the given id.

    Raises:
        DefinitionError: Something does not fit.
    """
    new.check()
    secret = PREFIX + secrets.token_urlsafe(32)
    row: Row = {
        "id": key_id or str(uuid.uuid4()),
        "name": new.name,
        "prefix": secret[:SHOWN],
        "sha256": _hash(secret),
        "scopes": [scope for scope in SCOPES if scope in new.scopes],
        "owner": new.owner or new.name,
        "created_by": new.created_by,
        "created_at": time.time(),
        "expires_at": new.expires_at,
        "revoked_at": None,
        "last_used_at": None,
    }
    with unit_of_work() as work:
        if once is not None and (known := once.keep(work, {"key_id": row["id"]})) is not None:
            return _required(rows.get(work.connection, known["key_id"]), known["key_id"]), None
        if not rows.add(work.database, work.connection, row):
            return _required(rows.get(work.connection, row["id"]), row["id"]), None
    return row, secret


def create_first() -> str | None:
    """Make the first admin key and return its secret; None where an admin key is in use or was.

    Of several servers that start at the same moment, one makes it.
    """
    with database().read() as connection:
        if any("admin" in row["scopes"] for row in rows.usable(database(), connection)):
            return None
        # A first key that was revoked was revoked on purpose.
        if rows.get(connection, FIRST) is not None:
            return None
    new = NewKey("first-admin", ("admin",), owner=OPERATOR.owner, created_by="first start")
    return create(new, key_id=FIRST)[1]


def every() -> list[Row]:
    """Return all keys, revoked ones included, the newest first."""
    with database().read() as connection:
        return rows.every(connection)


def get(key_id: str) -> Row:
    """Return one key by its id; `NotFoundError` when there is none."""
    with database().read() as connection:
        return _required(rows.get(connection, key_id), key_id)


def _required(row: Row | None, key_id: str) -> Row:
    if row is None:
        raise NotFoundError(f"there is no key {key_id!r}", "`materia keys list` shows them")
    return row


def revoke(key_id: str) -> Row:
    """Let a key open nothing from now on; revoking again changes nothing.

    Other processes notice within `TRUSTED_S`.
    """
    with unit_of_work() as work:
        _required(rows.get(work.connection, key_id), key_id)
        rows.revoke(work.database, work.connection, key_id)
    _trusted.clear()
    return get(key_id)


def state_of(row: Row) -> str:
    """Return whether a key is active, expired or revoked."""
    if row["revoked_at"] is not None:
        return "revoked"
    is_over = row["expires_at"] is not None and row["expires_at"] <= time.time()
    return "expired" if is_over else "active"


class RefusedKey(AccessError):
    """A key that opens nothing.

    Args:
        reason: unknown, expired or revoked.
    """

    def __init__(self, message: str, reason: str, caller: Caller | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.caller = caller


# By the hash of a secret: who that is, until when the key lasts, and until when that is believed.
_trusted: dict[str, tuple[Caller, float | None, float]] = {}
_noted: dict[str, float] = {}


def known(secret: str) -> Caller | None:
    """Return who has a key that was looked at just now; None where the database must be asked."""
    found = _trusted.get(_hash(secret))
    if found is None:
        return None
    caller, expires_at, trusted_until = found
    is_over = expires_at is not None and expires_at <= time.time()
    return None if is_over or time.monotonic() > trusted_until else caller


def check(secret: str) -> Caller:
    """Return who has a key.

    Raises:
        RefusedKey: Nobody has it, it has expired or was revoked.
        TransientError: The database does not answer.
    """
    sha256 = _hash(secret)
    with database().read() as connection:
        row = rows.by_hash(connection, sha256)
    if row is None:
        raise RefusedKey("this is not a key of this server", "unknown")
    caller = _caller(row)
    if (state := state_of(row)) != "active":
        raise _ended(row, state)
    _trusted[sha256] = (caller, row["expires_at"], time.monotonic() + TRUSTED_S)
    _note_use(row["id"])
    return caller


def require_active(key_id: str) -> None:
    """Raise a `RefusedKey` once a key has expired or was revoked."""
    row = get(key_id)
    if (state := state_of(row)) != "active":
        raise _ended(row, state)


def _ended(row: Row, state: str) -> RefusedKey:
    ended = "has expired" if state == "expired" else "was revoked"
    return RefusedKey(f"the key {row['name']!r} {ended}", state, _caller(row))


def _caller(row: Row) -> Caller:
    return Caller(row["name"], row["owner"], included(row["scopes"]), row["id"])


def included(scopes: Sequence[str]) -> frozenset[str]:
    """Return scopes with those that they include."""
    return frozenset(one for scope in scopes for one in SCOPES[: SCOPES.index(scope) + 1])


def is_same(one: str, other: str) -> bool:
    """Compare two secrets in a time that tells nothing of them."""
    return hmac.compare_digest(one.encode(), other.encode())


def _note_use(key_id: str) -> None:
    """Note the use of a key now and then; a database that is busy is not worth a refusal."""
    now = time.time()
    if now - _noted.get(key_id, 0.0) < NOTE_USE_EVERY_S:
        return
    _noted[key_id] = now
    with suppress(TransientError), database().write() as connection:
        rows.note_use(connection, key_id, now)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
