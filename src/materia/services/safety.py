"""Whether an installation is fit for others than its owner: secrets, Redis, files with secrets."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import redis

from materia.errors import AccessError
from materia.outbound.addresses import is_loopback
from materia.settings import Settings

FILES = (".env", ".env.celery", ".env.redis", ".env.postgres")
"""Files of the working folder that hold secrets."""

LEAST_KEY, LEAST_PASSWORD = 24, 12
# So many different characters has even a short secret that a program made.
LEAST_VARIETY = 7
# What examples and images come with; found in longer ones too, such as changeme123.
COMMON = re.compile(
    r"(change.?me|pass.?word|passwd|secret|default|example|letmein|qwerty|postgres|redis|celery"
    r"|materia|matcraft|admin|flower|guest|test|root|user|your|here|key|123456789|1234|abcd)",
    re.IGNORECASE,
)
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Danger:
    """What must not be in production, and what to do about it."""

    what: str
    fix: str


def weakness(secret: str, least: int = LEAST_PASSWORD) -> str | None:
    """Return why a secret is none, or None.

    Args:
        least: So many characters it needs.
    """
    if not secret.strip():
        return "is empty"
    # What is left of a common word, digits apart, decides: `redis-2024` is no secret.
    left = COMMON.sub("", secret)
    if len(re.sub(r"[\W\d_]", "", left)) < LEAST_VARIETY and COMMON.search(secret):
        return "is a common word"
    if len(secret) < least:
        return f"has {len(secret)} characters, and {least} are the least"
    if len(set(secret)) < LEAST_VARIETY:
        return "repeats a few characters"
    return None


def dangers(settings: Settings, folder: Path | None = None) -> list[Danger]:
    """Return everything that must not be in production.

    Args:
        folder: With the files that hold secrets; the working folder if None.
    """
    return [
        *_of_key(settings),
        *_of_redis(settings),
        *_of_database(settings),
        *_of_cluster(settings),
        *_of_files(folder or Path()),
    ]


def require_safe(settings: Settings) -> None:
    """Refuse to start in production as long as something is dangerous; tells all of it at once.

    Raises:
        AccessError: With the list, a line each.
    """
    if settings.environment != "production":
        return
    if found := dangers(settings):
        lines = [f"  - {danger.what}: {danger.fix}" for danger in found]
        raise AccessError(
            "\n".join(["in production nothing starts like this:", *lines]),
            "`materia doctor` shows the same",
        )


def _of_key(settings: Settings) -> Iterator[Danger]:
    if settings.api_key is None:
        return
    reason = weakness(settings.api_key.get_secret_value(), LEAST_KEY)
    if reason is not None:
        fix = "set it to what `openssl rand -base64 32` prints, or leave it out"
        yield Danger(f"MATERIA_API_KEY {reason}", fix)


def _of_redis(settings: Settings) -> Iterator[Danger]:
    urls = {
        "MATERIA_BROKER_URL": settings.broker_url,
        "MATERIA_RESULT_BACKEND": settings.result_backend,
        "MATERIA_EVENTS_URL": settings.events_url or "",
    }
    seen: set[str] = set()
    for name, url in urls.items():
        place = urlsplit(url)
        # Databases of one server are one; a socket is a file with rights of its own.
        if not place.hostname or place.netloc in seen:
            continue
        seen.add(place.netloc)
        if place.password:
            reason = weakness(unquote(place.password))
            if reason is not None:
                yield Danger(
                    f"the password of Redis in {name} {reason}",
                    "give Redis another one (requirepass), and write it into the URL",
                )
        elif not is_loopback(place.hostname):
            yield Danger(
                f"the Redis of {name} at {place.hostname} asks for no password",
                "set requirepass there, and write redis://:PASSWORD@host:port/db",
            )
        elif _is_open(url):
            yield Danger(
                f"the Redis of {name} takes anybody, and not from this machine only",
                "set requirepass in its configuration, or `bind 127.0.0.1`",
            )


def _is_open(url: str) -> bool:
    """Tell whether a Redis without a password is seen to serve more than this machine."""
    with suppress(redis.RedisError, OSError):
        client = redis.Redis.from_url(url, socket_timeout=LOOK_S, socket_connect_timeout=LOOK_S)
        with client:
            found = client.config_get("bind", "protected-mode")
            hosts = [one.lstrip("-") for one in str(found.get("bind", "")).split()]
            is_bound = bool(hosts) and all(is_loopback(host) for host in hosts)
            return not is_bound and found.get("protected-mode") != "yes"
    return False


def _of_database(settings: Settings) -> Iterator[Danger]:
    place = urlsplit(settings.database)
    if settings.database.startswith("sqlite") or not place.hostname:
        return
    if place.password is None:
        # It may lie in a file of its own (.pgpass), or a certificate stand for it.
        return
    reason = weakness(unquote(place.password))
    if reason is not None:
        fix = "give the database's user another one, and write it into the URL"
        yield Danger(f"the password in MATERIA_DATABASE_URL {reason}", fix)


def _of_cluster(settings: Settings) -> Iterator[Danger]:
    if settings.ray_address and settings.ray_token is None:
        yield Danger(
            "the Ray cluster is used without token authentication",
            "start its nodes with RAY_AUTH_MODE=token, and set MATERIA_RAY_TOKEN",
        )


def _of_files(folder: Path) -> Iterator[Danger]:
    for name in FILES:
        path = (folder / name).absolute()
        with suppress(OSError):
            if stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO:
                yield Danger(f"every user may read {path}", f"chmod 600 {path}")
