"""First schema.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

document = sa.JSON().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Create every table of version 0.1.0."""
    op.create_table(
        "campaigns",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("task_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("definition", document, nullable=False),
        sa.Column("pool", document, nullable=True),
        sa.Column("iteration", sa.Integer(), server_default="0", nullable=False),
        sa.Column("budget", sa.Integer(), nullable=False),
        sa.Column("evaluations_completed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("evaluations_failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("hypervolume", sa.Double(), nullable=True),
        sa.Column("pareto_size", sa.Integer(), server_default="0", nullable=False),
        sa.Column("best", document, nullable=True),
        sa.Column("error", document, nullable=True),
        sa.Column("event_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("requested_by", sa.String(length=128), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    op.create_index(
        op.f("ix_campaigns_created_at_id"), "campaigns", ["created_at", "id"], unique=False
    )
    op.create_table(
        "evaluations",
        sa.Column("campaign_id", sa.String(length=36), nullable=False),
        sa.Column("candidate_id", sa.String(length=64), nullable=False),
        sa.Column("replicate", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("outcomes", document, nullable=True),
        sa.Column("details", document, nullable=True),
        sa.Column("error", document, nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(
            "campaign_id", "candidate_id", "replicate", name=op.f("pk_evaluations")
        ),
    )
    op.create_table(
        "events",
        sa.Column("topic", sa.String(length=270), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("campaign_id", sa.String(length=36), nullable=True),
        sa.Column("job_id", sa.String(length=255), nullable=True),
        sa.Column("data", document, nullable=False),
        sa.PrimaryKeyConstraint("topic", "number", name=op.f("pk_events")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_events_time"), "events", ["time"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("answer", document, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("task", sa.String(length=255), nullable=False),
        sa.Column("queue", sa.String(length=128), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("args", document, nullable=False),
        sa.Column("kwargs", document, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("worker", sa.String(length=255), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("run_at", sa.Double(), nullable=True),
        sa.Column("sent_at", sa.Double(), nullable=True),
        sa.Column("sends", sa.Integer(), server_default="0", nullable=False),
        sa.Column("soft_limit_s", sa.Double(), nullable=True),
        sa.Column("hard_limit_s", sa.Double(), nullable=True),
        sa.Column("cancel_requested_at", sa.Double(), nullable=True),
        sa.Column("progress", document, nullable=True),
        sa.Column("result", document, nullable=True),
        sa.Column("error", document, nullable=True),
        sa.Column("reply", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_answer_due", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("campaign_id", sa.String(length=36), nullable=True),
        sa.Column("iteration", sa.Integer(), nullable=True),
        sa.Column("step", sa.String(length=32), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("requested_by", sa.String(length=128), nullable=True),
        sa.Column("event_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queued_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("claimed_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(
        "ix_jobs_campaign",
        "jobs",
        ["campaign_id", "queued_at"],
        unique=False,
        sqlite_where=sa.text("campaign_id IS NOT NULL"),
        postgresql_where=sa.text("campaign_id IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["state", "priority", "queued_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('QUEUED', 'RUNNING', 'RETRYING')"),
        postgresql_where=sa.text("state IN ('QUEUED', 'RUNNING', 'RETRYING')"),
    )
    op.create_index(op.f("ix_jobs_queued_at_id"), "jobs", ["queued_at", "id"], unique=False)
    op.create_index(
        "ix_jobs_unanswered",
        "jobs",
        ["finished_at"],
        unique=False,
        sqlite_where=sa.text("is_answer_due IS true"),
        postgresql_where=sa.text("is_answer_due IS true"),
    )
    op.create_index(
        "uq_jobs_idempotency_key",
        "jobs",
        ["idempotency_key"],
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "candidates",
        sa.Column("campaign_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("params", document, nullable=False),
        sa.Column("predicted", document, nullable=True),
        sa.Column("why", document, nullable=False),
        sa.Column("outcomes", document, nullable=True),
        sa.Column("is_pareto", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_candidates_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "number", name=op.f("pk_candidates")),
        sa.UniqueConstraint("campaign_id", "id", name=op.f("uq_candidates_campaign_id_id")),
    )
    op.create_index(
        op.f("ix_candidates_campaign_id_iteration"),
        "candidates",
        ["campaign_id", "iteration"],
        unique=False,
    )
    op.create_table(
        "iterations",
        sa.Column("campaign_id", sa.String(length=36), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("fit", document, nullable=True),
        sa.Column("checkpoint", document, nullable=True),
        sa.Column("hypervolume", sa.Double(), nullable=True),
        sa.Column("pareto_size", sa.Integer(), nullable=True),
        sa.Column("best", document, nullable=True),
        sa.Column("n_observations", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_iterations_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "iteration", name=op.f("pk_iterations")),
    )
    op.create_table(
        "job_log",
        sa.Column("job_id", sa.String(length=255), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_log_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_job_log")),
    )
