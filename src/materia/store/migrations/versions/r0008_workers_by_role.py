"""What workers are and how they went, the feed of all events, and who computes fits.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

document = sa.JSON().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Add what is known of workers, the order of all events, and the backend of a campaign."""
    for column in (
        sa.Column("state", sa.String(length=16), nullable=False, server_default="online"),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("versions", document, nullable=True),
        sa.Column("event_number", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("workers", column)
    op.add_column("campaigns", sa.Column("backend", sa.String(length=16), nullable=True))
    op.create_table(
        "feed",
        sa.Column("position", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("topic", sa.String(length=270), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_feed")),
        sa.UniqueConstraint("topic", "number", name=op.f("uq_feed_topic_number")),
    )
