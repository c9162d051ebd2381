"""Living workers, and the health of the installation.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

document = sa.JSON().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Add the tables of workers and of health."""
    op.create_table(
        "workers",
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("queues", document, nullable=False),
        sa.Column("n_processes", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("boot", name=op.f("pk_workers")),
    )
    op.create_table(
        "health",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("checked_at", sa.Double(), nullable=False),
        sa.Column("report", document, nullable=False),
        sa.Column("canaries", document, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_health")),
    )
