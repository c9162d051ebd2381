"""What can be done with campaigns, jobs and schedules; the same for both clients.

With `AsyncClient` every method returns an awaitable of what is said here, and `watch` an
asynchronous iterator.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from materia.client import definitions, problems, watching
from materia.client.steps import Call, Operation, Pause, all_items, got, one_page, sent
from materia.errors import DataError, StateError, TransientError

LONGEST_WAIT_S = 1.0
JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}

Run = Callable[[Operation], Any]


class Noun:
    """Base of the nouns.

    Args:
        run: Carries out an operation and returns its result, or an awaitable of it.
        stream: Carries out an operation and returns an iterator of its events.
    """

    path = ""

    def __init__(self, run: Run, stream: Run) -> None:
        self._run = run
        self._stream = stream

    def _at(self, subject_id: str, part: str = "") -> str:
        return f"{self.path}/{quote(subject_id, safe='')}{part}"


class Campaigns(Noun):
    """Campaigns of a server."""

    path = "/campaigns"

    def run(self, definition: definitions.Source, *, idempotency_key: str | None = None) -> Any:
        """Start a campaign; returns ``task_id``, ``campaign_id`` and links.

        Args:
            definition: YAML or JSON text, a path, or the data itself.
            idempotency_key: The same key starts one campaign only; a fresh one if None.

        Raises:
            DefinitionError: With every finding.
        """
        return self._run(_run_campaign(definition, idempotency_key))

    def create(self, definition: definitions.Source, *, idempotency_key: str | None = None) -> Any:
        """Create a campaign and return it; `start` starts it. Arguments as of `run`."""
        return self._run(_run_campaign(definition, idempotency_key, self.path))

    def start(self, campaign_id: str) -> Any:
        """Start a campaign that was only created, and return it."""
        return self._run(sent(Call("POST", self._at(campaign_id, "/start"))))

    def import_earlier(
        self,
        campaign_id: str,
        source: str | os.PathLike[str] | Sequence[Mapping[str, Any]],
        *,
        bad_rows: str = "reject",
        replace: bool = False,
        delimiter: str = ",",
    ) -> Any:
        """Give a campaign that has not started earlier measurements: all of them, or nothing.

        Args:
            source: Path of a CSV file with a column for each parameter and objective, or rows
                ``{"params": {…}, "outcomes": {objective: value or [mean, standard error]}}``.
            bad_rows: ``skip`` leaves out those that cannot be used.
            replace: Drop what it was given before.

        Returns:
            ``campaign_id``, ``dataset``, ``sha256``, ``n_rows``, ``skipped``.

        Raises:
            DefinitionError: Rows cannot be used; ``findings`` names each.
            StateError: The campaign has started.
        """
        params: dict[str, Any] = {"bad_rows": bad_rows, "replace": replace}
        if isinstance(source, str | os.PathLike):
            content, headers = _content_of(Path(source)), CSV
            params["delimiter"] = delimiter
        else:
            content, headers = as_json({"rows": [dict(row) for row in source]}), JSON
        path = self._at(campaign_id, "/earlier")
        return self._run(sent(Call("POST", path, params, content=content, headers=headers)))

    def validate(self, definition: definitions.Source) -> Any:
        """Return ``{valid, findings}``; nothing is created."""
        content, media_type = definitions.body(definition)
        headers = {"Content-Type": media_type}
        call = Call("POST", f"{self.path}/validate", content=content, headers=headers)
        return self._run(sent(call))

    def list(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Any:
        """Return a page of campaigns, newest first: ``{items, next_cursor, total}``."""
        return self._run(one_page(self.path, state=state, name=name, limit=limit, cursor=cursor))

    def get(self, campaign_id: str) -> Any:
        """Return one campaign."""
        return self._run(got(self._at(campaign_id)))

    def stop(self, campaign_id: str) -> Any:
        """Stop a campaign and return it."""
        return self._run(sent(Call("POST", self._at(campaign_id, "/stop"))))

    def delete(self, campaign_id: str) -> Any:
        """Delete a campaign that has ended; returns it as it was."""
        return self._run(sent(Call("DELETE", self._at(campaign_id))))

    def pause(self, campaign_id: str) -> Any:
        """Let what runs finish and start nothing further; returns the campaign."""
        return self._run(sent(Call("POST", self._at(campaign_id, "/pause"))))

    def resume(self, campaign_id: str) -> Any:
        """Go on as if there had been no pause; returns the campaign."""
        return self._run(sent(Call("POST", self._at(campaign_id, "/resume"))))

    def extend(self, campaign_id: str, budget: int) -> Any:
        """Raise the budget; a campaign that has completed or converged goes on.

        Args:
            budget: Evaluations in all, those done included.
        """
        content = as_json({"budget": budget})
        path = self._at(campaign_id, "/extend")
        return self._run(sent(Call("POST", path, content=content, headers=JSON)))

    def tell(self, campaign_id: str, results: Mapping[str, Any]) -> Any:
        """Tell what people measured of candidates of the evaluator `manual`; return the campaign.

        Args:
            results: {candidate id: {objective: value or [mean, standard error]}}, every objective
                of each; None where the experiment failed. All are taken in, or none.

        Raises:
            DataError: A result cannot be used; says which one and why.
            ConflictError: A candidate has another result already.
        """
        content = as_json({"results": results})
        path = self._at(campaign_id, "/results")
        return self._run(sent(Call("POST", path, content=content, headers=JSON)))

    def clone(self, campaign_id: str, name: str) -> Any:
        """Return the campaign's definition under another name, to be changed and run."""
        path = self._at(campaign_id, "/clone")
        return self._run(sent(Call("POST", path, content=as_json({"name": name}), headers=JSON)))

    def train_model(
        self,
        campaign_id: str,
        *,
        objective: str | None = None,
        model_config: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Train a model on what a campaign has measured; ``jobs.result(task_id)`` names it.

        Args:
            objective: What it predicts; may be left out where there is one.
            model_config: As of ``ml_tasks.distributed_training``; target and types are known.
            idempotency_key: The same key trains one model only; a fresh one if None.

        Returns:
            ``task_id``, ``dataset_path``, ``n_rows``, ``n_failed`` and links.

        Raises:
            StateError: The campaign has measured too little.
        """
        body = {"objective": objective, "model_config": dict(model_config or {})}
        headers = {**JSON, **key_of(idempotency_key)}
        path = self._at(campaign_id, "/models")
        return self._run(sent(Call("POST", path, content=as_json(body), headers=headers)))

    def export(
        self,
        campaign_id: str,
        *,
        format: str = "csv",  # noqa: A002 - as the API calls it
        idempotency_key: str | None = None,
    ) -> Any:
        """Write the candidates of a campaign as a file, for ``jobs.download(task_id, path)``.

        Args:
            format: csv, json, parquet or xlsx; html is the page of the report.
            idempotency_key: The same key writes one file only; a fresh one if None.

        Returns:
            ``task_id`` and links.
        """
        headers = {**JSON, **key_of(idempotency_key)}
        content = as_json({"format": format})
        path = self._at(campaign_id, "/export")
        return self._run(sent(Call("POST", path, content=content, headers=headers)))

    def candidates(self, campaign_id: str) -> Any:
        """Return all candidates in the order of asking."""
        return self._run(all_items(self._at(campaign_id, "/candidates")))

    def pareto(self, campaign_id: str) -> Any:
        """Return the candidates of the Pareto front."""
        return self._run(all_items(self._at(campaign_id, "/pareto")))

    def convergence(self, campaign_id: str) -> Any:
        """Return ``{converged, reason, trace}``."""
        return self._run(got(self._at(campaign_id, "/convergence")))

    def surrogate(self, campaign_id: str, *, parity: bool = True) -> Any:
        """Return ``{iterations, parity, reason}``."""
        return self._run(got(self._at(campaign_id, "/surrogate"), parity=parity))

    def explanation(self, campaign_id: str) -> Any:
        """Return which parameters matter, how far predictions hold, what may still be gained.

        ``{n_results, needed, reason, importance, parity, quality, remaining}``; ``reason`` says why
        there is nothing to show yet.
        """
        return self._run(got(self._at(campaign_id, "/explanation")))

    def slice(
        self, campaign_id: str, parameter: str, *, at: str | None = None, points: int = 50
    ) -> Any:
        """Return predictions along one parameter with their uncertainty, and what was measured.

        Args:
            at: Id of the candidate that it goes through; the best one if None.

        Raises:
            StateError: There is no surrogate yet.
            DataError: There is no such parameter.
        """
        path = self._at(campaign_id, "/slice")
        return self._run(got(path, parameter=parameter, at=at, points=points))

    def contour(
        self, campaign_id: str, first: str, second: str, *, at: str | None = None, points: int = 25
    ) -> Any:
        """Return predictions over two parameters; see `slice`."""
        path = self._at(campaign_id, "/contour")
        return self._run(got(path, first=first, second=second, at=at, points=points))

    def events(self, campaign_id: str, *, after: int = 0) -> Any:
        """Return what has happened after an event's id, in order."""
        return self._run(all_items(self._at(campaign_id, "/events"), after=after))

    def watch(self, campaign_id: str, *, after: int = 0) -> Any:
        """Iterate over the events after a number; ends with the campaign, survives reconnections.

        An event of type ``resync`` says that some are no longer kept: read the state anew.
        """
        return self._stream(watching.watched(watching.CAMPAIGN, campaign_id, after))


class Jobs(Noun):
    """Jobs of a server."""

    path = "/jobs"

    def submit(
        self,
        task: str,
        kwargs: Mapping[str, Any] | None = None,
        *,
        args: Sequence[Any] = (),
        queue: str | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Submit a task; returns ``task_id`` and links.

        Args:
            priority: 0-9, 9 the most urgent; that of the task's configuration if None.
            idempotency_key: The same key makes one job only; a fresh one if None.
        """
        options = {"args": [*args], "queue": queue, "priority": priority}
        return self._run(submission(task, kwargs or {}, idempotency_key, **options))

    def list(
        self,
        *,
        state: str | None = None,
        task: str | None = None,
        queue: str | None = None,
        campaign_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Any:
        """Return a page of jobs, newest first: ``{items, next_cursor, total}``."""
        params = {"state": state, "task": task, "queue": queue, "campaign_id": campaign_id}
        return self._run(one_page(self.path, **params, limit=limit, cursor=cursor))

    def get(self, job_id: str) -> Any:
        """Return one job."""
        return self._run(got(self._at(job_id)))

    def log(self, job_id: str, *, after: int = 0) -> Any:
        """Return the log lines after a line's number."""
        return self._run(all_items(self._at(job_id, "/log"), after=after))

    def cancel(self, job_id: str) -> Any:
        """Cancel a job and return it; a running one ends a little later."""
        return self._run(sent(Call("POST", self._at(job_id, "/cancel"))))

    def retry(self, job_id: str, *, idempotency_key: str | None = None) -> Any:
        """Submit the task of a failed job again; returns ``task_id`` and links of the new one."""
        call = Call("POST", self._at(job_id, "/retry"), headers=key_of(idempotency_key))
        return self._run(sent(call))

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> Any:
        """Wait until a job has ended and return it, however it ended.

        Raises:
            TransientError: It has not ended in time.
        """
        return self._run(_ended(self._at(job_id), timeout_s))

    def result(self, job_id: str, *, timeout_s: float | None = None) -> Any:
        """Wait until a job has ended and return its result.

        Raises:
            MateriaError: The job's own error.
            StateError: It was cancelled.
            TransientError: It has not ended in time.
        """
        return self._run(_result(self._at(job_id), timeout_s))

    def download(self, job_id: str, path: str | os.PathLike[str]) -> Any:
        """Wait until an export has ended, write its file to `path`, and return the path.

        The file appears whole or not at all, and replaces one that is there.

        Raises:
            MateriaError: The job's own error, or the file is gone.
            DataError: It cannot be written here.
        """
        return self._run(_download(self._at(job_id), Path(path)))

    def watch(self, job_id: str, *, after: int = 0) -> Any:
        """Iterate over states and progress of a job; ends with it, survives reconnections."""
        return self._stream(watching.watched(watching.JOB, job_id, after))


class Schedules(Noun):
    """Schedules of a server: tasks that are submitted whenever they are due."""

    path = "/schedules"

    def create(
        self,
        schedule_id: str,
        task: str,
        kwargs: Mapping[str, Any] | None = None,
        *,
        crontab: str | None = None,
        timezone: str = "UTC",
        interval_s: float | None = None,
        missed: str = "one",
        queue: str | None = None,
        priority: int | None = None,
        starts_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Make a schedule and return it; it takes either a crontab or an interval.

        Args:
            schedule_id: Letters, digits, ``_`` and ``-``, at most 128.
            crontab: Minute, hour, day of the month, month, day of the week, in `timezone`.
            missed: Which due times fire later, when no scheduler was alive: skip, one, all.
            starts_at: First time of an interval; one interval from now if None.
            expires_at: No later time fires. A time that is given has a zone.
            idempotency_key: The same key makes one schedule only; a fresh one if None.

        Raises:
            DefinitionError: Something does not fit.
            ConflictError: There is one with this id.
        """
        body = {
            "id": schedule_id,
            "task": task,
            "kwargs": dict(kwargs or {}),
            "crontab": crontab,
            "timezone": timezone,
            "interval_s": interval_s,
            "missed": missed,
            "queue": queue,
            "priority": priority,
            "starts_at": starts_at,
            "expires_at": expires_at,
        }
        headers = {**JSON, **key_of(idempotency_key)}
        return self._run(sent(Call("POST", self.path, content=as_json(body), headers=headers)))

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Any:
        """Return a page of schedules by id: ``{items, next_cursor, total}``."""
        return self._run(one_page(self.path, limit=limit, cursor=cursor))

    def get(self, schedule_id: str) -> Any:
        """Return one schedule."""
        return self._run(got(self._at(schedule_id)))

    def change(self, schedule_id: str, **values: Any) -> Any:
        """Change fields of a schedule and return it; None takes a field away.

        Its clock goes on unless the timing itself changes.
        """
        call = Call("PATCH", self._at(schedule_id), content=as_json(values), headers=JSON)
        return self._run(sent(call))

    def pause(self, schedule_id: str) -> Any:
        """Let due times pass without firing, and return the schedule."""
        return self._run(sent(Call("POST", self._at(schedule_id, "/pause"))))

    def resume(self, schedule_id: str) -> Any:
        """Fire again from the next due time on, and return the schedule."""
        return self._run(sent(Call("POST", self._at(schedule_id, "/resume"))))

    def run(self, schedule_id: str, *, idempotency_key: str | None = None) -> Any:
        """Submit the job of a schedule now; returns ``task_id`` and links."""
        call = Call("POST", self._at(schedule_id, "/run"), headers=key_of(idempotency_key))
        return self._run(sent(call))

    def runs(self, schedule_id: str, *, limit: int = 50, cursor: str | None = None) -> Any:
        """Return a page of ``{due_at, fired_at, job_id}``, newest first."""
        return self._run(one_page(self._at(schedule_id, "/runs"), limit=limit, cursor=cursor))

    def delete(self, schedule_id: str) -> Any:
        """Delete a schedule and return it as it was; its jobs stay."""
        return self._run(sent(Call("DELETE", self._at(schedule_id))))


class Workers(Noun):
    """Workers of a server."""

    path = "/workers"

    def list(self, *, state: str | None = None, limit: int = 50, cursor: str | None = None) -> Any:
        """Return a page of workers, those that live first: ``{items, next_cursor, total}``.

        Args:
            state: online, draining, offline or lost; the last two are remembered for a day.
        """
        return self._run(one_page(self.path, state=state, limit=limit, cursor=cursor))


def submission(task: str, kwargs: Mapping[str, Any], key: str | None, **options: Any) -> Operation:
    """Submit a task as a job."""
    content = as_json({"task": task, "kwargs": dict(kwargs), **options})
    return (
        yield from sent(Call("POST", "/jobs", content=content, headers={**JSON, **key_of(key)}))
    )


def as_json(body: Mapping[str, Any]) -> bytes:
    """Return the body of a request; a time becomes text."""
    return json.dumps(body, allow_nan=False, default=datetime.isoformat).encode()


def _content_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"'{path}' cannot be read: {error.strerror or error}", "name another file"
        ) from None


def key_of(given: str | None) -> dict[str, str]:
    """Return the header with an idempotency key, a fresh one if None."""
    return {"Idempotency-Key": given or str(uuid.uuid4())}


def _run_campaign(
    definition: definitions.Source, key: str | None, path: str = "/campaigns/run"
) -> Operation:
    content, media_type = definitions.body(definition)
    headers = {"Content-Type": media_type, **key_of(key)}
    call = Call("POST", path, content=content, headers=headers)
    return (yield from sent(call))


def _ended(path: str, timeout_s: float | None) -> Operation:
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    seconds = 0.02
    while True:
        job = yield from got(path)
        if job["state"] in watching.JOB.ends:
            return job
        if deadline is not None and time.monotonic() > deadline:
            raise TransientError(f"job {job['id']} is still {job['state']} after {timeout_s:g} s")
        yield Pause(seconds)
        seconds = min(1.5 * seconds, LONGEST_WAIT_S)


def _download(job: str, path: Path) -> Operation:
    yield from _result(job, None)
    return (yield from sent(Call("GET", f"{job}/file", into=path)))


def _result(path: str, timeout_s: float | None) -> Operation:
    job = yield from _ended(path, timeout_s)
    if job["state"] == "SUCCEEDED":
        return job["result"]
    if job["state"] == "CANCELLED":
        raise StateError(f"job {job['id']} was cancelled")
    raise problems.of_job(job)
