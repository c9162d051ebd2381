"""Deliver a message in a process of its own, which can reach nothing else.

Libraries of a hundred services run there, each with its own way to the network. Around a process
the guard is whole, and its memory is gone afterwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from materia.errors import MissingExtraError, TransientError

# For one address, from the first packet to the end of the answer.
TIMEOUT_S = 5.0
# For loading the libraries of all services, on a machine that is busy.
START_S = 60.0
TITLE = "MatCraft"

State = Literal["delivered", "fine", "passing", "refused", "rejected"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """How it went with one address.

    Args:
        service: What the address belongs to, such as Discord; never the address.
        state: ``passing`` means that waiting can heal it, ``refused`` that the address may not be
            reached, ``rejected`` that it did not take the message, ``fine`` that it was only
            looked at.
        reason: In words; empty when all went well.
    """

    service: str
    state: State
    reason: str


def deliver(
    addresses: Sequence[str], message: str, *, allow: Sequence[str] = (), sends: bool = True
) -> list[Attempt]:
    """Deliver a message to each address, and return how that went.

    Args:
        addresses: As Apprise reads them; secret.
        allow: Names, addresses and networks that may be reached although they are not public.
        sends: Otherwise the addresses are only looked at.

    Raises:
        MissingExtraError: Apprise is not installed.
        TransientError: The process did not come to its end.
    """
    if find_spec("apprise") is None:
        raise MissingExtraError("notify", "Sending notifications")
    asked = {
        "addresses": list(addresses),
        "message": message,
        "title": TITLE,
        "allow": list(allow),
        "sends": sends,
        "timeout_s": TIMEOUT_S,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "materia.outbound.child"],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=START_S + TIMEOUT_S * len(addresses),
            env=_environment(),
            check=True,
        )
        return [Attempt(**outcome) for outcome in json.loads(done.stdout)]
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        # Without its output, which may hold an address.
        reason = type(error).__name__
        raise TransientError(
            f"the process that delivers ended without an answer: {reason}"
        ) from None


def _environment() -> dict[str, str]:
    """Return the environment without our settings, and without proxies, which connect for us."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith("_PROXY") and not name.startswith("MATERIA_")
    }
    return {**kept, "NETRC": os.devnull}
