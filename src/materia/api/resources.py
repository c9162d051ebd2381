"""Rows as clients see them: the fields that people script against."""

from __future__ import annotations

from typing import Any

from materia.api.answers import written_time
from materia.services import keys, outcomes
from materia.services.keys import Caller
from materia.services.workers import DEVICE

BASE = "/api/v1"

Row = dict[str, Any]

_CAMPAIGN = (
    "id",
    "task_id",
    "name",
    "state",
    "definition",
    "iteration",
    "budget",
    "evaluations_completed",
    "evaluations_failed",
    "hypervolume",
    "pareto_size",
    "best",
    "error",
    "backend",
    "requested_by",
    "owner",
)
_CANDIDATE = (
    "id",
    "number",
    "iteration",
    "state",
    "params",
    "predicted",
    "outcomes",
    "breaks",
    "is_pareto",
    "why",
    "metadata",
    "error",
)
_JOB = (
    "id",
    "task",
    "queue",
    "priority",
    "state",
    "attempt",
    "progress",
    "args",
    "kwargs",
    "result",
    "campaign_id",
    "iteration",
    "step",
    "worker",
    "requested_by",
    "owner",
)
_SCHEDULE = (
    "id",
    "task",
    "kwargs",
    "queue",
    "priority",
    "crontab",
    "timezone",
    "interval_s",
    "missed",
    "is_paused",
    "requested_by",
    "owner",
)
_MODEL = ("id", "name", "path", "sha256", "size_bytes", "job_id")
_RETRAINING = (
    "name",
    "dataset_path",
    "model_config",
    "metric",
    "is_daily",
    "is_enabled",
    "channel",
    "champion_id",
    "requested_by",
)
_KEY = ("id", "name", "prefix", "scopes", "owner", "created_by")
_AUDIT = ("name", "owner", "key_id", "address", "method", "path", "status", "refused", "n_more")
_WORKER = ("name", "host", "pid", "queues", "state", "reason", "running", "jobs")
_ERROR = ("code", "message", "hint")
_ITERATION = ("iteration", "n_observations", "hypervolume", "pareto_size", "best")


def campaign(row: Row) -> Row:
    """Return a campaign; `last_event` is where a live view of this state goes on."""
    return {
        **{key: row[key] for key in _CAMPAIGN},
        "last_event": row["event_number"],
        **_times(row, "created_at", "started_at", "finished_at"),
    }


def candidate(row: Row) -> Row:
    """Return a candidate."""
    found = {key: row[key] for key in _CANDIDATE}
    told = row["outcomes"]
    return {
        **found,
        "outcomes": outcomes.values(told),
        "standard_errors": outcomes.standard_errors(told),
    }


def iteration(row: Row) -> Row:
    """Return an iteration of a convergence trace."""
    return {
        **{key: row[key] for key in _ITERATION},
        **_times(row, "started_at", "finished_at"),
    }


def fit(row: Row) -> Row:
    """Return how well the surrogate of an iteration fits."""
    return {"iteration": row["iteration"], "quality": row["fit"]}


def job(row: Row) -> Row:
    """Return a job."""
    error = row["error"]
    return {
        **{key: row[key] for key in _JOB},
        "error": error and {key: error.get(key) for key in _ERROR},
        "is_cancel_requested": row["cancel_requested_at"] is not None,
        "last_event": row["event_number"],
        **_times(row, "queued_at", "run_at", "started_at", "finished_at"),
    }


def log_line(row: Row) -> Row:
    """Return a line of a job's log."""
    return {key: row[key] for key in ("number", "level", "text")} | _times(row, "time")


def schedule(row: Row) -> Row:
    """Return a schedule, with the due time that it waits for."""
    waits, counts = not row["is_paused"], row["interval_s"] is not None
    return {
        **{key: row[key] for key in _SCHEDULE},
        "is_configured": row["configured"] is not None,
        "next_at": written_time(row["next_at"] if waits else None),
        "starts_at": written_time(row["starts_at"] if counts else None),
        **_times(row, "expires_at", "created_at"),
    }


def schedule_run(row: Row) -> Row:
    """Return a time at which a schedule fired."""
    return {"job_id": row["job_id"], **_times(row, "due_at", "fired_at")}


def model(row: Row) -> Row:
    """Return a model as a list shows it."""
    card = row["card"]
    schema, training = card.get("schema") or {}, card.get("training") or {}
    return {
        **{key: row[key] for key in _MODEL},
        "estimator": card.get("estimator"),
        "task": schema.get("task"),
        "target": schema.get("target"),
        "metric": training.get("metric"),
        "score": training.get("ensemble_score"),
        **_times(row, "created_at"),
    }


def dataset(row: Row) -> Row:
    """Return a dataset, with what is in it where that was looked at."""
    return {**row, **_times(row, "changed_at")}


def retraining(row: Row) -> Row:
    """Return a model that is retrained."""
    return {key: row[key] for key in _RETRAINING} | _times(row, "created_at")


def retraining_run(row: Row) -> Row:
    """Return how a training ended."""
    return {**row, **_times(row, "finished_at")}


def worker(row: Row) -> Row:
    """Return a worker; its versions without the device, which has a field of its own."""
    versions = {**(row["versions"] or {})}
    device = versions.pop(DEVICE, None)
    return {
        "id": row["boot"],
        **{key: row[key] for key in _WORKER},
        "concurrency": row["n_processes"],
        "device": device,
        "versions": versions,
        "started_at": written_time(row["started_at"]),
        "heartbeat_at": written_time(row["seen_at"]),
    }


def key(row: Row) -> Row:
    """Return a key without its secret."""
    return {
        **{name: row[name] for name in _KEY},
        "state": keys.state_of(row),
        **_times(row, "created_at", "expires_at", "revoked_at", "last_used_at"),
    }


def caller(who: Caller) -> Row:
    """Return what a caller may do."""
    scopes = [scope for scope in keys.SCOPES if scope in who.scopes]
    return {"id": who.key_id, "name": who.name, "owner": who.owner, "scopes": scopes}


def audit_entry(row: Row) -> Row:
    """Return what somebody did, or was refused."""
    return {"number": row["number"], **{name: row[name] for name in _AUDIT}} | _times(row, "time")


def campaign_links(campaign_id: str, task_id: str) -> Row:
    """Return where to look for a campaign that was just started."""
    here = f"{BASE}/campaigns/{campaign_id}"
    parts = ("candidates", "pareto", "convergence", "surrogate", "explanation", "events")
    return {
        "self": here,
        **{part: f"{here}/{part}" for part in parts},
        "live": f"{BASE}/ws/campaigns/{campaign_id}",
        "job": f"{BASE}/jobs/{task_id}",
    }


def job_links(job_id: str) -> Row:
    """Return where to look for a job that was just submitted."""
    here = f"{BASE}/jobs/{job_id}"
    return {
        "self": here,
        **{part: f"{here}/{part}" for part in ("log", "progress", "result")},
        "live": f"{BASE}/ws/jobs/{job_id}",
    }


def _times(row: Row, *names: str) -> Row:
    return {name: written_time(row[name]) for name in names}
