"""Shapes of answers and of JSON bodies, for the OpenAPI file.

Answers are not validated against them row by row, which would cost more than everything else; tests
do that.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

Item = TypeVar("Item")


class Shape(BaseModel):
    """Base of everything here; other fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Page(Shape, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one")
    total: int = Field(description="how many there are on all pages")


class Finding(Shape):
    """One thing that is wrong or doubtful in what was sent."""

    level: Literal["error", "warning"]
    path: str
    line: int | None
    message: str
    fix: str | None


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str = Field(description="stable; programs go by this")
    detail: str
    path: str | None = Field(description="where in the request or definition")
    hint: str | None = Field(description="what to do about it")
    line: int | None = None
    findings: list[Finding] = Field(default_factory=list)


class JobError(Shape):
    """Why a job or campaign failed."""

    code: str
    message: str
    hint: str | None


class CampaignError(JobError):
    """Why a campaign failed, and in which job."""

    model_config = ConfigDict(extra="allow")

    job_id: str | None = None


class Progress(Shape):
    """How far a job is."""

    done: float
    total: float | None
    message: str
    eta_s: float | None


class Prediction(Shape):
    """What the surrogate expected of one objective."""

    mean: float
    std: float


class Campaign(Shape):
    """A campaign."""

    id: str
    task_id: str = Field(description="the job that ends with the campaign")
    name: str
    state: Literal[
        "created",
        "running",
        "paused",
        "waiting",
        "completed",
        "converged",
        "stopped",
        "failed",
    ]
    definition: dict[str, Any]
    iteration: int
    budget: int
    evaluations_completed: int
    evaluations_failed: int
    hypervolume: float | None
    pareto_size: int
    best: Any
    error: CampaignError | None
    backend: Literal["torch"] | None = Field(description="what fits its surrogate; null: NumPy")
    requested_by: str | None
    owner: str | None = Field(description="who sees it; null: admins only")
    last_event: int = Field(description="a live view of this state goes on after this number")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Candidate(Shape):
    """A point that the campaign asked for."""

    id: str
    number: int
    iteration: int
    state: Literal["proposed", "told", "failed", "cancelled"]
    params: dict[str, Any]
    predicted: dict[str, Prediction] | None
    outcomes: dict[str, float | None] | None
    standard_errors: dict[str, float] = Field(description="of outcomes that have one")
    breaks: list[str] = Field(description="outcome constraints that the outcomes break")
    is_pareto: bool
    why: dict[str, Any]
    metadata: dict[str, Any] | None = Field(
        description="what the evaluator tells beyond the outcomes, at most 4 KiB"
    )
    error: JobError | None = Field(description="why the evaluation failed")


class TraceEntry(Shape):
    """A finished iteration."""

    iteration: int
    n_observations: int
    hypervolume: float | None
    pareto_size: int
    best: Any
    started_at: datetime
    finished_at: datetime


class Convergence(Shape):
    """How the campaign improved from iteration to iteration."""

    converged: bool
    reason: str | None
    trace: list[TraceEntry]
    remaining: dict[str, Any] | None = Field(
        description="gain that was still expected at the last proposal: mean, std, advice"
    )


class Fit(Shape):
    """How well the surrogate of an iteration fits."""

    iteration: int
    quality: dict[str, dict[str, float | str | None]]


class Surrogate(Shape):
    """How good the surrogate is."""

    iterations: list[Fit]
    parity: dict[str, Any] | None = Field(
        description="measured against leave-one-out predicted values, per objective"
    )
    reason: str | None = Field(description="why there is no parity yet")


class Explanation(Shape):
    """What the surrogate has learnt."""

    n_results: int
    needed: int = Field(description="results that are missing until there is something to show")
    reason: str | None = Field(description="why there is nothing to show")
    importance: dict[str, dict[str, float]] = Field(
        description="per objective, the share of its variance that each parameter has a part in"
    )
    parity: dict[str, dict[str, list[float]]] = Field(
        description="per objective: measured, predicted without that result, and std"
    )
    quality: dict[str, dict[str, float]] = Field(
        description="per objective: r2, coverage_95, rank_correlation, n"
    )
    remaining: dict[str, Any] | None = Field(
        description="gain that was still expected at the last proposal: mean, std, advice"
    )


class MeasuredPoint(Shape):
    """A result beside predictions; its other parameters differ from theirs."""

    id: str
    values: list[Any] = Field(description="of the parameters that vary")
    outcomes: dict[str, Any]


class Slice(Shape):
    """Predictions along one parameter; lists over its values."""

    parameter: str
    at: dict[str, Any] = Field(description="the point it goes through")
    values: list[Any]
    is_allowed: list[bool] = Field(description="false where a constraint is broken")
    predicted: dict[str, dict[str, list[float]]] = Field(description="mean, std per objective")
    measured: list[MeasuredPoint]


class Contour(Shape):
    """Predictions over two parameters; a row per value of the second one."""

    parameters: list[str]
    at: dict[str, Any]
    values: list[list[Any]]
    is_allowed: list[list[bool]]
    predicted: dict[str, dict[str, list[list[float]]]]
    measured: list[MeasuredPoint]


class Event(Shape):
    """What has happened; the same message as on the WebSocket."""

    id: int
    type: str
    time: datetime
    campaign_id: str | None
    job_id: str | None
    data: dict[str, Any]


class Validation(Shape):
    """Whether a definition can be run, and everything found in it."""

    valid: bool
    findings: list[Finding]


class Started(Shape):
    """Where to look for a campaign that was just started."""

    task_id: str
    campaign_id: str
    links: dict[str, str]


class Submitted(Shape):
    """Where to look for a job that was just submitted."""

    task_id: str
    links: dict[str, str]


class Training(Submitted):
    """Where to look for a model that is being trained on a campaign's data."""

    dataset_path: str = Field(description="the table that was written for it")
    n_rows: int = Field(description="measurements of the objective in it")
    n_failed: int = Field(description="failed candidates, which are not in it")


class Job(Shape):
    """A job."""

    id: str
    task: str
    queue: str
    priority: int = Field(description="0-9, 9 the most urgent")
    state: Literal[
        "QUEUED",
        "RUNNING",
        "RETRYING",
        "SUCCEEDED",
        "FAILED",
        "CANCELLED",
        "QUARANTINED",
    ]
    attempt: int
    progress: Progress | None
    args: list[Any]
    kwargs: dict[str, Any]
    result: Any
    error: JobError | None
    campaign_id: str | None
    iteration: int | None
    step: str | None
    worker: str | None
    requested_by: str | None
    owner: str | None = Field(description="who sees it; null: admins only")
    is_cancel_requested: bool
    last_event: int
    queued_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class JobProgress(Shape):
    """How far a job is."""

    id: str
    state: str
    progress: Progress | None


class JobResult(Shape):
    """What a job ended with."""

    id: str
    state: str
    result: Any
    error: JobError | None


class LogLine(Shape):
    """A line of a job's log."""

    number: int
    time: datetime
    level: str
    text: str


class NewJob(Shape):
    """A job to submit."""

    task: Annotated[str, Field(max_length=255, examples=["tasks.simple_tasks.ping"])]
    kwargs: dict[str, Any] = Field(default_factory=dict)
    args: list[Any] = Field(default_factory=list)
    queue: Annotated[str, Field(max_length=128)] | None = None
    priority: Annotated[int, Field(ge=0, le=9, strict=True)] | None = None


class Results(Shape):
    """What people measured."""

    results: dict[str, dict[str, float | list[float]] | None] = Field(
        description="{candidate id: {objective: value, or [mean, standard error]}}, every "
        "objective of each; null where the experiment failed",
        min_length=1,
        max_length=10_000,
    )


class EarlierRow(Shape):
    """One earlier measurement."""

    params: dict[str, float | int | str | bool]
    outcomes: dict[str, float | list[float]] = Field(
        description="{objective: value, or [mean, standard error]}, every objective"
    )


class EarlierRows(Shape):
    """Earlier measurements."""

    rows: list[EarlierRow] = Field(min_length=1, max_length=10_000)


class Earlier(Shape):
    """What a campaign begins with."""

    campaign_id: str
    dataset: str = Field(description="the table that keeps them, below the data root")
    sha256: str
    n_rows: int
    skipped: list[str] = Field(description="rows that are not among them, and why")


class Extension(Shape):
    """A larger budget."""

    budget: Annotated[int, Field(strict=True, ge=1, le=10_000)] = Field(
        description="evaluations in all, those done included"
    )


class Clone(Shape):
    """What a campaign's definition is called when it is used again."""

    name: str = Field(max_length=128)


class NewModel(Shape):
    """A model to train on a campaign's data."""

    objective: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="what it predicts; may be left out where there is one"
    )
    config: dict[str, Any] = Field(
        default_factory=dict,
        alias="model_config",
        description="as of ml_tasks.distributed_training; target and types are known",
    )


class NewExport(Shape):
    """A file to write with a campaign's candidates."""

    format: Literal["csv", "json", "parquet", "xlsx", "html"] = "csv"


def _seconds(written: object) -> float | None:
    if written is None:
        return None
    try:
        time = datetime.fromisoformat(str(written))
        if time.tzinfo is None:
            raise ValueError
        time = time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            "time", "write a time as ISO 8601 with its zone, such as 2026-12-31T23:00:00+01:00"
        ) from None
    if not 1970 < time.year < 9999:
        raise PydanticCustomError("time", "a time lies between the years 1971 and 9998")
    return time.timestamp()


Time = Annotated[
    float, BeforeValidator(_seconds), WithJsonSchema({"type": "string", "format": "date-time"})
]
Missed = Literal["skip", "one", "all"]


class Schedule(Shape):
    """A task and when it is submitted."""

    id: str
    task: str
    kwargs: dict[str, Any]
    queue: str | None = Field(description="null: that of the task's configuration")
    priority: int | None = Field(description="0-9, 9 the most urgent; null: as configured")
    crontab: str | None
    timezone: str
    interval_s: float | None
    missed: Missed
    is_paused: bool
    is_configured: bool = Field(description="comes from celeryconfig.py: pause it, not delete")
    requested_by: str | None
    owner: str | None = Field(description="who sees it; null: admins only")
    next_at: datetime | None = Field(description="null while paused, and when no time is left")
    starts_at: datetime | None = Field(description="where an interval is counted from")
    expires_at: datetime | None
    created_at: datetime


class ScheduleRun(Shape):
    """A time at which a schedule fired."""

    job_id: str
    due_at: datetime
    fired_at: datetime


class ScheduleChange(Shape):
    """What to change in a schedule; what is left out stays, null takes away."""

    kwargs: dict[str, Any] = Field(default_factory=dict)
    queue: Annotated[str, Field(max_length=128)] | None = None
    priority: Annotated[int, Field(ge=0, le=9, strict=True)] | None = None
    crontab: Annotated[str, Field(max_length=255, examples=["0 2 * * *"])] | None = Field(
        default=None, description="minute, hour, day of the month, month, day of the week"
    )
    timezone: Annotated[str, Field(max_length=64, description="of the crontab")] = "UTC"
    interval_s: Annotated[float, Field(strict=True)] | None = Field(
        default=None, description="instead of a crontab"
    )
    missed: Missed = Field(
        default="one", description="which due times fire later, when no scheduler was alive"
    )
    expires_at: Time | None = None


class NewSchedule(ScheduleChange):
    """A schedule to make; it has either a crontab or an interval."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$", examples=["nightly-export"])]
    task: Annotated[str, Field(max_length=255, examples=["tasks.simple_tasks.ping"])]
    starts_at: Time | None = Field(
        default=None, description="first time of an interval; else one interval from now"
    )

    @field_validator("starts_at")
    @classmethod
    def _goes_with_an_interval(cls, given: float | None, others: ValidationInfo) -> float | None:
        if given is not None and others.data.get("crontab") is not None:
            raise PydanticCustomError("time", "this goes with interval_s, not with a crontab")
        return given


Scope = Literal["read", "write", "admin"]


class NewKey(Shape):
    """A key to make."""

    name: Annotated[str, Field(max_length=128, examples=["anna-laptop"])]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)] = Field(
        default=["write"], description="each includes those before it: read, write, admin"
    )
    owner: Annotated[str, Field(max_length=128)] | None = Field(
        default=None, description="keys of one owner share their work; the name unless given"
    )
    expires_at: Time | None = Field(default=None, description="null: it does not expire")


class CurrentKey(Shape):
    """What the key of a request may do."""

    id: str | None = Field(description="null: it is the key of the server's settings")
    name: str
    owner: str
    scopes: list[Scope]


class Key(Shape):
    """A key; its secret is kept nowhere."""

    id: str
    name: str
    prefix: str = Field(description="what it begins with, for telling keys apart")
    scopes: list[Scope]
    owner: str
    state: Literal["active", "expired", "revoked"]
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="to the minute")


class MadeKey(Key):
    """A key that was just made."""

    key: str | None = Field(
        description="the secret, told this once; null where the same request came before"
    )


class AuditEntry(Shape):
    """What somebody did, or was refused."""

    number: int
    time: datetime
    name: str | None = Field(description="of the key; null where none is known")
    owner: str | None
    key_id: str | None
    address: str | None
    method: str
    path: str = Field(description="what was asked for, or what was made")
    status: int
    refused: str | None = Field(description="why; null where it was done")
    n_more: int = Field(description="refusals before this one that were only counted")


class Model(Shape):
    """A trained model."""

    id: str
    name: str
    path: str
    estimator: str | None
    task: Literal["regression", "classification"] | None
    target: str | None
    metric: str | None
    score: float | None = Field(description="on rows that were held out; more is better")
    sha256: str
    size_bytes: int
    job_id: str
    created_at: datetime


class ModelDetails(Model):
    """A trained model and what its file says of itself."""

    card: dict[str, Any]
    in_use_for: str | None = Field(description="name of the retrained model that it stands for")


class Dataset(Shape):
    """A table that tasks may read, alone or in parts."""

    path: str
    kind: Literal["file", "folder", "parts"]
    n_files: int
    size_bytes: int
    changed_at: datetime
    rows: int | None = Field(
        description="null where it is large, or nobody has looked into it since it changed"
    )
    n_columns: int | None
    types: dict[str, int] | None = Field(description="how many columns are of each type")
    is_upload: bool = Field(description="was sent here, so that it can be deleted here")


class DatasetColumn(Shape):
    """A column of a dataset."""

    name: str
    type: str = Field(description="integer, number, boolean, date, datetime, text, empty, …")
    n_missing: int = Field(description="in the sample")


class Learning(Shape):
    """What a training would learn if nothing else was said."""

    target: str | None
    task: Literal["regression", "classification"] | None
    features: list[str]
    remarks: list[str]


class DatasetDetails(Dataset):
    """What is in a dataset."""

    rows_rejected: int | None
    columns: list[DatasetColumn]
    n_sampled: int = Field(description="rows that the types are those of")
    learning: Learning
    sha256: str | None = Field(description="of the content; null for a large dataset")


class Retraining(Shape):
    """A model that is trained again, and replaced when a better one is found."""

    name: str
    dataset_path: str
    model_config_: Annotated[dict[str, Any], Field(alias="model_config")]
    metric: str | None = Field(
        description="what decides; null: that of model_config or of the task"
    )
    is_daily: bool = Field(description="taken by the daily job")
    is_enabled: bool
    channel: str = Field(description="where notifications go")
    champion_id: str | None = Field(description="the model in use")
    requested_by: str | None
    created_at: datetime


class RetrainingRun(Shape):
    """How a training ended."""

    job_id: str
    name: str
    outcome: Literal["promoted", "kept", "unchanged", "failed", "cancelled"]
    reason: str
    metric: str | None
    champion_id: str | None = Field(description="the model that was in use")
    champion_score: float | None
    challenger_id: str | None = Field(description="the new one; null unless it was promoted")
    challenger_score: float | None
    n_rows: int | None
    n_held_out: int | None
    data_sha256: str | None
    finished_at: datetime


class RetrainingChange(Shape):
    """What to change; what is left out stays."""

    dataset_path: Annotated[str, Field(min_length=1, max_length=4096)] = ""
    model_config_: Annotated[dict[str, Any], Field(alias="model_config")] = Field(
        default_factory=dict
    )
    metric: Annotated[str, Field(max_length=64)] | None = None
    is_daily: Annotated[bool, Field(strict=True)] = True
    is_enabled: Annotated[bool, Field(strict=True)] = True
    channel: Annotated[str, Field(min_length=1, max_length=128)] = "default"


class NewRetraining(RetrainingChange):
    """A model to retrain."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,90}$", examples=["stock_predictor"])]
    dataset_path: Annotated[str, Field(min_length=1, max_length=4096)]


class Template(Shape):
    """A definition to begin with."""

    name: str
    title: str
    text: str = Field(description="YAML with comments")


class Evaluator(Shape):
    """What can evaluate candidates."""

    type: str
    summary: str | None
    options: dict[str, Any] | None = Field(description="JSON schema of its options")
    unusable: str | None = Field(description="why it cannot be used here; null when it can")


class Waiting(Shape):
    """What waits in a queue with one priority."""

    priority: int
    waiting: int
    oldest_s: float = Field(description="age of the job that waits longest")


class Queue(Shape):
    """What waits and runs in a queue."""

    queue: str
    waiting: int
    running: int
    oldest_s: float | None = Field(description="age of the job that waits longest")
    priorities: list[Waiting] = Field(description="the most urgent first")
    workers: list[str] = Field(description="names of those that take it")


class Worker(Shape):
    """A worker, from one start of it to its end."""

    id: str
    name: str
    host: str | None
    pid: int | None
    queues: list[str]
    concurrency: int
    state: Literal["online", "draining", "offline", "lost"] = Field(
        description="draining: finishes what it runs and takes nothing new"
    )
    reason: str | None = Field(description="why it is not online")
    running: int = Field(description="how many jobs it runs")
    jobs: list[str] = Field(description="ids of those of them that the key may see")
    device: str | None = Field(description="that it trains surrogates on; null: the CPU")
    versions: dict[str, str]
    started_at: datetime
    heartbeat_at: datetime = Field(description="when it was last heard of")


class Cluster(Shape):
    """The Ray cluster, as the last check of health found it."""

    configured: bool | None = Field(description="null: no check has been made yet")
    status: Literal["healthy", "degraded", "unhealthy", "not_checked", "not_configured"]
    reasons: list[str]
    nodes: list[dict[str, Any]]
    checked_at: datetime | None


class Liveness(Shape):
    """That the server answers."""

    status: Literal["alive"]
    version: str


class Readiness(Shape):
    """That work can be taken and gets done."""

    status: Literal["ready"]
    checks: dict[str, Literal["ok"]]


HealthStatus = Literal["healthy", "degraded", "unhealthy"]


class HealthPart(BaseModel):
    """How one part is; parts tell more of themselves than this."""

    model_config = ConfigDict(extra="allow")

    status: Literal[HealthStatus, "not_checked", "not_configured"]
    reasons: list[str]


class ClusterHealth(Shape):
    """How every part of the installation is."""

    status: HealthStatus = Field(description="that of the worst part of those that were checked")
    timestamp: datetime
    reasons: list[str] = Field(description="of every part that is not healthy")
    parts: dict[str, HealthPart]
