"""Messages to people, through channels that the admin has configured."""

from __future__ import annotations

import unicodedata
from typing import Any

from materia import log, settings
from materia.errors import AccessError, DefinitionError, StateError, TransientError
from materia.mdl.suggest import did_you_mean
from materia.outbound import delivery
from materia.outbound.delivery import Attempt
from materia.services import running
from materia.services.running import Outcome
from materia.services.submission import NewJob

SEND = "tasks.simple_tasks.send_notification"
DEFAULT = "default"
# Where the health of the installation goes, if there is such a channel.
HEALTH = "health"
LONGEST = 10_000
NO_CHANNEL = "no channel is configured, so nobody was told; set MATERIA_NOTIFY_CHANNELS"

logger = log.logger(__name__)


def addresses_of(channel: str) -> tuple[str, ...]:
    """Return the addresses of a channel; none for the default one as long as there are no channels.

    Raises:
        DefinitionError: There is no such channel.
    """
    channels = settings.current().channels
    if channel in channels:
        return channels[channel]
    if channel == DEFAULT and not channels:
        return ()
    hint = did_you_mean(str(channel), channels) or (
        f"configured are {', '.join(sorted(channels))}"
        if channels
        else "the admin configures channels in MATERIA_NOTIFY_CHANNELS"
    )
    raise DefinitionError(f"channel: there is no channel {channel!r:.80}", hint, path="channel")


def health_channel() -> str | None:
    """Return the channel that hears of health; None when nobody wants to."""
    channels = settings.current().channels
    return next((name for name in (HEALTH, DEFAULT) if name in channels), None)


def require_message(message: Any) -> str:
    """Return a message that can be sent, without control characters.

    Raises:
        DefinitionError: It is no text, empty or too long.
    """
    if not isinstance(message, str) or not message.strip():
        raise DefinitionError("message: must be a text that is not empty", path="message")
    if len(message) > LONGEST:
        raise DefinitionError(
            f"message: has {len(message)} characters, {LONGEST} are allowed",
            "send where to look instead",
            path="message",
        )
    plain = "".join(c for c in message if c in "\n\t" or unicodedata.category(c) != "Cc")
    return running.storable(plain)


def send_notification(message: str, channel: str = DEFAULT) -> Outcome:
    """Send a message to every address of a channel; each gets it once, also after retries.

    Raises:
        DefinitionError: The message or the channel will not do.
        MissingExtraError: Apprise is not installed.
        TransientError: An address could not be reached at present.
        AccessError: An address may not be reached.
        StateError: An address did not take the message.
    """
    # Loads NumPy, which the API that only submits notifications does not.
    from materia.services.partial import Partial

    text = require_message(message)
    addresses = addresses_of(channel)
    result: dict[str, Any] = {"status": "sent", "channel": channel, "message": text}
    if not addresses:
        logger.warning("notification_to_nobody", message=text)
        return Outcome({**result, "delivered": [], "remark": NO_CHANNEL})
    job = running.current()
    partial = Partial.of(job.id if job else "none", text, channel, list(addresses))
    delivered = {index: str(kept[0]) for index, kept in partial.finished().items()}
    missing = [index for index in range(len(addresses)) if index not in delivered]
    attempts = delivery.deliver([addresses[index] for index in missing], text, allow=_allowed())
    by_index = dict(zip(missing, attempts, strict=True))
    for index, attempt in by_index.items():
        if attempt.state == "delivered":
            delivered[index] = attempt.service
            partial.keep(index, attempt.service)
    _require_delivered(channel, by_index)
    partial.forget()
    return Outcome({**result, "delivered": [delivered[index] for index in sorted(delivered)]})


def _allowed() -> list[str]:
    return settings.current().notify_allow_hosts.split(",")


def _require_delivered(channel: str, attempts: dict[int, Attempt]) -> None:
    failed = {i: attempt for i, attempt in attempts.items() if attempt.state != "delivered"}
    if not failed:
        return
    reasons = "; ".join(
        f"address {index + 1} ({attempt.service}): {attempt.reason}"
        for index, attempt in failed.items()
    )
    states = {attempt.state for attempt in failed.values()}
    message = f"channel {channel!r} did not take the message everywhere: {reasons}"
    if "passing" in states:
        raise TransientError(message, "it is tried again")
    if "refused" in states:
        raise AccessError(
            message, "the admin allows hosts of the local network in MATERIA_NOTIFY_ALLOW_HOSTS"
        )
    raise StateError(message, "see MATERIA_NOTIFY_CHANNELS and what the service expects")


def of_health(text: str, key: str) -> NewJob | None:
    """Return the job that tells of a change of health, once for each key."""
    channel = health_channel()
    if channel is None:
        return None
    return NewJob(
        task=SEND,
        kwargs={"message": text, "channel": channel},
        idempotency_key=key,
        requested_by="check_cluster_health",
    )
