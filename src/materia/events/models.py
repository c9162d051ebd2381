"""What has happened: one model for the table, the stream and the WebSocket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """Every type of event; names are in the past tense."""

    CAMPAIGN_STATE_CHANGED = "campaign_state_changed"
    ITERATION_STARTED = "iteration_started"
    SURROGATE_TRAINED = "surrogate_trained"
    CANDIDATES_PROPOSED = "candidates_proposed"
    EVALUATION_COMPLETED = "evaluation_completed"
    PARETO_UPDATED = "pareto_updated"
    ITERATION_COMPLETED = "iteration_completed"
    JOB_STATE_CHANGED = "job_state_changed"
    JOB_PROGRESS = "job_progress"
    WORKER_STATE_CHANGED = "worker_state_changed"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a topic.

    Args:
        topic: ``campaign:<id>``, ``job:<id>`` or ``worker:<boot>``.
        number: Place in the topic, counted from 1 without a gap; the WebSocket's ``id``.
        type: What has happened.
        time: Seconds since the epoch.
        data: What a client needs to update its view.
    """

    topic: str
    number: int
    type: str
    time: float
    data: dict[str, Any]
    campaign_id: str | None = None
    job_id: str | None = None

    def message(self) -> dict[str, Any]:
        """Return what a WebSocket client receives."""
        return {
            "id": self.number,
            "type": str(self.type),
            "time": datetime.fromtimestamp(self.time, UTC).isoformat(),
            "campaign_id": self.campaign_id,
            "job_id": self.job_id,
            "data": self.data,
        }


def campaign_topic(campaign_id: str) -> str:
    """Return the topic of a campaign's events."""
    return f"campaign:{campaign_id}"


def job_topic(job_id: str) -> str:
    """Return the topic of a job's events."""
    return f"job:{job_id}"


def worker_topic(boot: str) -> str:
    """Return the topic of one start of a worker."""
    return f"worker:{boot}"
