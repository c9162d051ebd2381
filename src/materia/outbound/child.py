"""Deliver a message to some addresses: ``python -m materia.outbound.child``, a process of its own.

It reads one JSON object from its standard input and writes one list to its standard output:
an outcome for each address. Addresses hold secrets: they appear neither among its arguments nor in
what it writes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from materia.outbound.addresses import Allowed, is_disguised, resolve
from materia.outbound.guard import Exchanges, Guard

# Statuses of HTTP that waiting can heal.
PASSING = {408, 425, 429}


class OutOfTimeError(BaseException):
    """The time for one address is over; no library takes it for an error of its own."""


def main() -> None:
    """Answer the request on the standard input."""
    # What libraries print must not come between.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    asked = json.load(sys.stdin)
    guard = Guard(Allowed.of(asked["allow"]))
    exchanges = Exchanges(asked["timeout_s"])
    import apprise

    exchanges.bound()
    asset = apprise.AppriseAsset(plugin_paths=[], async_mode=False)
    plugins = [apprise.Apprise.instantiate(url, asset=asset) for url in asked["addresses"]]
    guard.install()
    outcomes = []
    for url, plugin in zip(asked["addresses"], plugins, strict=True):
        guard.refusals.clear()
        exchanges.forget()
        outcomes.append(_outcome(url, plugin, asked, guard, exchanges))
    json.dump(outcomes, answer)
    answer.close()
    # Without waiting for threads that a library may have left.
    os._exit(0)


def _outcome(
    url: str, plugin: Any, asked: dict[str, Any], guard: Guard, exchanges: Exchanges
) -> dict[str, str]:
    """Return ``{service, state, reason}`` of one address.

    The state is delivered, fine (checked only), passing (waiting can heal it), refused or rejected.
    """
    scheme = urlsplit(url).scheme[:20]
    if plugin is None:
        host = urlsplit(url).hostname
        if host and is_disguised(host):
            return _of(scheme, "refused", f"{host} hides which address it is")
        return _of(scheme, "rejected", f"it is not an address of a '{scheme}' service")
    service = str(plugin.service_name)
    try:
        with _within(asked["timeout_s"]):
            refusal = _refusal(plugin, guard.allowed)
            if refusal:
                return _of(service, "refused", refusal)
            if not asked["sends"]:
                return _of(service, "fine", "")
            if plugin.notify(body=asked["message"], title=asked["title"], notify_type="info"):
                return _of(service, "delivered", "")
    except OutOfTimeError:
        return _of(service, "passing", f"no answer within {asked['timeout_s']:g} s")
    except Exception as error:  # noqa: BLE001 - whatever a service's library raises
        return _of(service, "rejected", f"its library failed: {type(error).__name__}")
    return _failed(service, guard, exchanges)


def _failed(service: str, guard: Guard, exchanges: Exchanges) -> dict[str, str]:
    if guard.refusals:
        return _of(service, "refused", guard.refusals[-1])
    if exchanges.is_too_long:
        return _of(service, "rejected", "its answer was longer than 64 KB")
    if not exchanges.statuses:
        return _of(service, "passing", "it could not be reached")
    status = exchanges.statuses[-1]
    reason = f"it answered with status {status}"
    if 300 <= status < 400:
        return _of(service, "rejected", f"{reason}; redirects are not followed")
    is_passing = status >= 500 or status in PASSING
    return _of(service, "passing" if is_passing else "rejected", reason)


def _of(service: str, state: str, reason: str) -> dict[str, str]:
    return {"service": service, "state": state, "reason": reason}


def _refusal(plugin: Any, allowed: Allowed) -> str | None:
    """Return why the host of an address may not be reached; one without a host has none.

    A name that means nothing at present is left to the delivery, which then says so.
    """
    has_host = any("{host}" in template for template in getattr(plugin, "templates", ()))
    host = str(getattr(plugin, "host", "") or "").strip("[]")
    if not has_host or not host or hasattr(plugin, "smtp_host"):
        return None
    if is_disguised(host):
        return f"{host} hides which address it is"
    try:
        found = resolve(host)
    except OSError:
        return None
    return next(filter(None, map(allowed.refusal, found)), None)


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise `OutOfTimeError` when what is inside takes longer."""

    def end(*_: Any) -> None:
        raise OutOfTimeError

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
