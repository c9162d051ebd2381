"""What routes take from a request: ids, the caller, the idempotency key."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Depends, Header, Path, Request

from materia.api.bodies import Raw
from materia.api.problems import Refusal
from materia.services.idempotency import Once

# One key opens this server, so that all who have it are one.
CALLER = "api"

# Control characters are in no id, and PostgreSQL refuses some of them.
PLAIN = r"^[^\x00-\x1f\x7f]*$"
Id = Annotated[str, Path(min_length=1, max_length=255, pattern=PLAIN)]


def _once(
    request: Request,
    body: Raw,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="the same key with the same body takes effect once; a UUID is a good one",
        ),
    ] = None,
) -> Once | None:
    if key is None:
        return None
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Refusal(
            422,
            "Idempotency-Key: 1 to 255 printable ASCII characters",
            "a UUID is a good key",
            path="Idempotency-Key",
        )
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body)
    return Once(CALLER, key, digest.hexdigest())


MaybeOnce = Annotated[Once | None, Depends(_once)]
