"""What is in datasets, as it was seen when they were sent or looked at.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

document = sa.JSON().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Add the table of datasets that were sent or looked at."""
    op.create_table(
        "datasets",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("n_files", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("columns", document, nullable=False),
        sa.Column("is_upload", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_datasets")),
    )
