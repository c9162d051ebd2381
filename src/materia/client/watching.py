"""Follow a campaign or job: every event once and in order, over any number of connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from materia.client.steps import Call, Emit, Open, Operation, Pause, Receive
from materia.errors import TransientError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
# About five minutes of a server that does not answer.
MAX_FAILURES = 60


@dataclass(frozen=True, slots=True)
class Subject:
    """What is followed.

    Args:
        noun: As in the paths of the API.
        ends: States in which nothing follows any more.
        change: Type of the event that carries a new state.
    """

    noun: str
    ends: frozenset[str]
    change: str


CAMPAIGN = Subject(
    "campaigns",
    frozenset({"completed", "converged", "stopped", "failed"}),
    "campaign_state_changed",
)
JOB = Subject(
    "jobs",
    frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "QUARANTINED"}),
    "job_state_changed",
)


def watched(subject: Subject, subject_id: str, after: int) -> Operation:
    """Emit the events after a number until the subject has ended.

    An event of type ``resync`` says that some are no longer kept: read the state anew.
    """
    path = f"/{subject.noun}/{quote(subject_id, safe='')}"
    failures = 0
    while True:
        try:
            found = yield Call("GET", path)
            if found["state"] in subject.ends and after >= found["last_event"]:
                return
            yield Open(f"/ws{path}?after={after}")
            while True:
                event = yield Receive()
                failures = 0
                after = _next_after(event, after)
                yield Emit(event)
                if event["type"] == "resync":
                    break
                is_end = event["type"] == subject.change and event["data"]["state"] in subject.ends
                # An end before what was read is history: the campaign was extended since.
                if after >= found["last_event"] and (is_end or found["state"] in subject.ends):
                    return
        except TransientError:
            failures += 1
            if failures > MAX_FAILURES:
                raise
            yield Pause(min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S))


def everything(after: int | None) -> Operation:
    """Emit what happens on the server, on any topic, for ever.

    Args:
        after: Id of the last event that is known; None begins with what happens from now on, after
            a ``resync`` that says where that is.
    """
    failures = 0
    while True:
        try:
            yield Open("/ws/events" if after is None else f"/ws/events?after={after}")
            while True:
                event = yield Receive()
                failures = 0
                after = int(event["id"])
                yield Emit(event)
        except TransientError:
            failures += 1
            if failures > MAX_FAILURES:
                raise
            yield Pause(min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S))


def _next_after(event: dict[str, Any], after: int) -> int:
    # After a resync the present number counts, even when it is below the one that was asked for.
    return int(event["id"]) if event["type"] == "resync" else max(after, int(event["id"]))
