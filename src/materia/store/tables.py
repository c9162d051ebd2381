"""Tables. Times are seconds since the epoch, UTC; documents are JSON."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    literal_column,
    true,
)


class Document(TypeDecorator[Any]):
    """A JSON document; a missing one is SQL NULL, never the JSON text "null".

    On SQLite it is text: a column declared JSON has numeric affinity there, and would turn the
    document ``3`` into a number.
    """

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Return text for SQLite and the server's JSON type elsewhere."""
        text = dialect.name == "sqlite"
        return dialect.type_descriptor(Text() if text else JSON(none_as_null=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Encode for SQLite."""
        if value is None or dialect.name != "sqlite":
            return value
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Decode from SQLite."""
        return value if value is None or dialect.name != "sqlite" else orjson.loads(value)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("task_id", String(255), nullable=False),
    Column("name", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    # Grows with every guarded write; a writer that read an older one is refused.
    Column("version", Integer, nullable=False, server_default="0"),
    Column("definition", Document, nullable=False),
    Column("pool", Document),
    # What computes the fits of the surrogate; NULL: NumPy. Fixed when the campaign starts.
    Column("backend", String(16)),
    Column("iteration", Integer, nullable=False, server_default="0"),
    Column("budget", Integer, nullable=False),
    Column("evaluations_completed", Integer, nullable=False, server_default="0"),
    Column("evaluations_failed", Integer, nullable=False, server_default="0"),
    Column("hypervolume", Double),
    Column("pareto_size", Integer, nullable=False, server_default="0"),
    Column("best", Document),
    Column("error", Document),
    Column("event_number", Integer, nullable=False, server_default="0"),
    Column("requested_by", String(128)),
    # Whose it is; NULL is nobody's, which only an admin sees.
    Column("owner", String(128)),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Index(None, "created_at", "id"),
)

iterations = Table(
    "iterations",
    metadata,
    Column("campaign_id", ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True),
    Column("iteration", Integer, primary_key=True),
    Column("fit", Document),
    Column("checkpoint", Document),
    Column("hypervolume", Double),
    Column("pareto_size", Integer),
    Column("best", Document),
    Column("n_observations", Integer),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
)

candidates = Table(
    "candidates",
    metadata,
    Column("campaign_id", ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("id", String(64), nullable=False),
    Column("iteration", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("params", Document, nullable=False),
    Column("predicted", Document),
    Column("why", Document, nullable=False),
    # The outcomes that count; every attempt is kept in `evaluations`.
    Column("outcomes", Document),
    Column("is_pareto", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("campaign_id", "id"),
    Index(None, "campaign_id", "iteration"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("campaign_id", String(36), primary_key=True),
    Column("candidate_id", String(64), primary_key=True),
    Column("replicate", Integer, primary_key=True),
    Column("job_id", String(255)),
    Column("state", String(16), nullable=False),
    Column("outcomes", Document),
    Column("details", Document),
    Column("error", Document),
    Column("seed", BigInteger),
    Column("duration_s", Double),
    Column("finished_at", Double, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    # Also the Celery task id; a plain client may choose any.
    Column("id", String(255), primary_key=True),
    Column("task", String(255), nullable=False),
    Column("queue", String(128), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("args", Document, nullable=False),
    Column("kwargs", Document, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    # The fencing token grows with every claim; writes of an older one are refused.
    Column("token", Integer, nullable=False, server_default="0"),
    Column("lease_until", Double),
    Column("claimed_by", String(64)),
    Column("worker", String(255)),
    Column("pid", Integer),
    Column("run_at", Double),
    Column("sent_at", Double),
    Column("sends", Integer, nullable=False, server_default="0"),
    Column("soft_limit_s", Double),
    Column("hard_limit_s", Double),
    Column("cancel_requested_at", Double),
    Column("progress", Document),
    Column("result", Document),
    Column("error", Document),
    # Whether a plain Celery client waits for the answer in the result backend.
    Column("reply", Boolean, nullable=False, server_default=false()),
    # The result backend did not take the answer; the scheduler tries again.
    Column("is_answer_due", Boolean, nullable=False, server_default=false()),
    Column("campaign_id", String(36)),
    Column("iteration", Integer),
    Column("step", String(32)),
    Column("idempotency_key", String(255)),
    Column("requested_by", String(128)),
    Column("owner", String(128)),
    Column("event_number", Integer, nullable=False, server_default="0"),
    Column("queued_at", Double, nullable=False),
    Column("started_at", Double),
    Column("claimed_at", Double),
    Column("finished_at", Double),
    Index(None, "queued_at", "id"),
)

# True for jobs that are not final. Written out as text, because a database uses the partial index
# below only where a query repeats its condition.
is_open = jobs.c.state.in_(
    [literal_column(f"'{state}'") for state in ("QUEUED", "RUNNING", "RETRYING")]
)


def _partial_index(name: str, *columns: Column[Any], where: Any, unique: bool = False) -> None:
    """Add an index of few rows: most jobs are final, of no campaign, without a key."""
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


answer_is_due = jobs.c.is_answer_due.is_(literal_column("true"))
_partial_index("ix_jobs_unanswered", jobs.c.finished_at, where=answer_is_due)
_partial_index("ix_jobs_open", jobs.c.state, jobs.c.priority, jobs.c.queued_at, where=is_open)
_partial_index(
    "ix_jobs_campaign",
    jobs.c.campaign_id,
    jobs.c.queued_at,
    where=jobs.c.campaign_id.is_not(None),
)
_partial_index(
    "uq_jobs_idempotency_key",
    jobs.c.idempotency_key,
    where=jobs.c.idempotency_key.is_not(None),
    unique=True,
)

job_log = Table(
    "job_log",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("time", Double, nullable=False),
    Column("level", String(16), nullable=False),
    Column("text", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    # A topic is `campaign:<id>`, `job:<id>` or `worker:<boot>`; numbers of one topic have no gap.
    Column("topic", String(270), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("type", String(32), nullable=False),
    Column("time", Double, nullable=False),
    Column("campaign_id", String(36)),
    Column("job_id", String(255)),
    Column("data", Document, nullable=False),
    Index(None, "time"),
    # One tree less to write at every change of a job.
    sqlite_with_rowid=False,
)

feed = Table(
    "feed",
    metadata,
    # The order of the events of all topics, as they were seen; given while somebody follows it.
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("topic", String(270), nullable=False),
    Column("number", Integer, nullable=False),
    Column("time", Double, nullable=False),
    UniqueConstraint("topic", "number"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("until", Double, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("answer", Document, nullable=False),
    Column("created_at", Double, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("task", String(255), nullable=False),
    Column("kwargs", Document, nullable=False),
    Column("queue", String(128)),
    Column("priority", Integer),
    # One of the two: a line of cron in a time zone, or seconds counted from `starts_at`.
    Column("crontab", String(255)),
    Column("timezone", String(64), nullable=False),
    Column("interval_s", Double),
    Column("missed", String(8), nullable=False),
    Column("is_paused", Boolean, nullable=False, server_default=false()),
    Column("starts_at", Double, nullable=False),
    Column("expires_at", Double),
    # The next due time; a writer that read an older one is refused. NULL when there is none.
    Column("next_at", Double),
    # What the configuration said when the row was last made from it; NULL for one of a user.
    Column("configured", Document),
    Column("requested_by", String(128)),
    Column("owner", String(128)),
    Column("created_at", Double, nullable=False),
)

schedule_runs = Table(
    "schedule_runs",
    metadata,
    # A due time fires once, however many schedulers are alive.
    Column("schedule_id", ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True),
    Column("due_at", Double, primary_key=True),
    Column("job_id", String(255), nullable=False),
    Column("fired_at", Double, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("name", String(128), nullable=False),
    # Below the data root where it lies there, so that the folder may move.
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # What the file says of itself: estimator, schema, scores.
    Column("card", Document, nullable=False),
    Column("job_id", String(255), nullable=False),
    Column("created_at", Double, nullable=False),
    Index(None, "created_at", "id"),
)

datasets = Table(
    "datasets",
    metadata,
    # As results show it. What is known holds while number, size and time of the files stay.
    Column("path", Text, primary_key=True),
    Column("n_files", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("changed_at", Double, nullable=False),
    # NULL where a large file was not read to its end.
    Column("rows", BigInteger),
    Column("columns", Document, nullable=False),
    # Whether it was sent to the server, which may then delete its file.
    Column("is_upload", Boolean, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    # One row for each start of a worker; claims of its children carry the same id.
    Column("boot", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("queues", Document, nullable=False),
    Column("n_processes", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("state", String(16), nullable=False, server_default="online"),
    Column("reason", Text),
    Column("host", String(255)),
    Column("pid", Integer),
    # Of MatCraft, Python and Celery; also the device of a worker that trains on one.
    Column("versions", Document),
    Column("event_number", Integer, nullable=False, server_default="0"),
)

health = Table(
    "health",
    metadata,
    Column("name", String(64), primary_key=True),
    # Grows with every check; one that read an older one has no effects.
    Column("version", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("since", Double, nullable=False),
    Column("checked_at", Double, nullable=False),
    Column("report", Document, nullable=False),
    # The job that travels through each queue at present.
    Column("canaries", Document, nullable=False),
)

retrainings = Table(
    "retrainings",
    metadata,
    # Also the name of the models that it makes.
    Column("name", String(128), primary_key=True),
    Column("dataset_path", Text, nullable=False),
    Column("model_config", Document, nullable=False),
    Column("metric", String(64)),
    # Whether the daily job takes it; else a schedule of its own does, or nobody.
    Column("is_daily", Boolean, nullable=False, server_default=true()),
    Column("is_enabled", Boolean, nullable=False, server_default=true()),
    Column("channel", String(128), nullable=False),
    # The model in use, and by which rule rows are held out since it was trained.
    Column("champion_id", String(128)),
    Column("hold_out", Document),
    # Of data and configuration of the last training; the same ones are not learnt from again.
    Column("fingerprint", String(64)),
    Column("requested_by", String(128)),
    Column("created_at", Double, nullable=False),
)

retraining_runs = Table(
    "retraining_runs",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("name", ForeignKey("retrainings.name", ondelete="CASCADE"), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("metric", String(64)),
    Column("champion_id", String(128)),
    Column("champion_score", Double),
    Column("challenger_id", String(128)),
    Column("challenger_score", Double),
    Column("n_rows", Integer),
    Column("n_held_out", Integer),
    Column("data_sha256", String(64)),
    Column("finished_at", Double, nullable=False),
    Index(None, "name", "finished_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(128), nullable=False),
    # What the key begins with, for people to tell keys apart. Its secret is kept nowhere.
    Column("prefix", String(16), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("scopes", Document, nullable=False),
    Column("owner", String(128), nullable=False),
    Column("created_by", String(128)),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
    UniqueConstraint("sha256"),
)

audit = Table(
    "audit",
    metadata,
    # The 64-bit integer that SQLite counts by itself is called INTEGER there.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("time", Double, nullable=False),
    # The key that was used, as it was called then; NULL where none was known.
    Column("key_id", String(36)),
    Column("name", String(128)),
    Column("owner", String(128)),
    Column("address", String(64)),
    Column("method", String(16), nullable=False),
    Column("path", Text, nullable=False),
    Column("status", Integer, nullable=False),
    # Why it was refused; NULL of what was done.
    Column("refused", String(32)),
    # Refusals before this one that were only counted.
    Column("n_more", Integer, nullable=False, server_default="0"),
    Index(None, "time"),
)
