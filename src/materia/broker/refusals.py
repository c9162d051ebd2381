"""How many messages were refused, by kind: a hash in Redis, for people who look after a server."""

from __future__ import annotations

from kombu.utils.encoding import bytes_to_str

from materia import log
from materia.broker.app import connection
from materia.broker.transport import REFUSED

KEY = REFUSED
CONTENT_TYPE, UNKNOWN_TASK, INVALID = "content_type", "unknown_task", "invalid"
TOO_LARGE, UNDECODABLE = "too_large", "undecodable"
KINDS = (CONTENT_TYPE, UNKNOWN_TASK, INVALID, TOO_LARGE, UNDECODABLE)

logger = log.logger(__name__)


def count(kind: str) -> None:
    """Count one of `KINDS`; a broker that does not answer is not worth a worker."""
    try:
        with connection() as broker:
            broker.default_channel.client.hincrby(KEY, kind, 1)
    except Exception as error:  # noqa: BLE001 - see above
        logger.warning("refusal_not_counted", kind=kind, reason=str(error))


def counts() -> dict[str, int]:
    """Return how many messages of each kind were refused since Redis was last emptied."""
    with connection() as broker:
        found = broker.default_channel.client.hgetall(KEY)
    told = {bytes_to_str(kind): int(n) for kind, n in found.items()}
    return {kind: told.get(kind, 0) for kind in KINDS}
