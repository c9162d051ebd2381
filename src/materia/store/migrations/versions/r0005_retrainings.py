"""Models that are trained again.

Revision ID: 0005
"""

from __future__ import annotations

import json
import time

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

document = sa.JSON().with_variant(sa.Text(), "sqlite")
EXAMPLES = ("stock_predictor", "sentiment_analyzer")
MODEL_CONFIG = {"n_estimators": 100, "max_depth": 20}


def upgrade() -> None:
    """Add the table of models to retrain with two examples, which wait for their datasets."""
    retrainings = op.create_table(
        "retrainings",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("dataset_path", sa.Text(), nullable=False),
        sa.Column("model_config", document, nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=True),
        sa.Column("is_daily", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("channel", sa.String(length=128), nullable=False),
        sa.Column("champion_id", sa.String(length=128), nullable=True),
        sa.Column("hold_out", document, nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.Column("requested_by", sa.String(length=128), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_retrainings")),
    )
    op.create_table(
        "retraining_runs",
        sa.Column("job_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=True),
        sa.Column("champion_id", sa.String(length=128), nullable=True),
        sa.Column("champion_score", sa.Double(), nullable=True),
        sa.Column("challenger_id", sa.String(length=128), nullable=True),
        sa.Column("challenger_score", sa.Double(), nullable=True),
        sa.Column("n_rows", sa.Integer(), nullable=True),
        sa.Column("n_held_out", sa.Integer(), nullable=True),
        sa.Column("data_sha256", sa.String(length=64), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["name"],
            ["retrainings.name"],
            name=op.f("fk_retraining_runs_name"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_retraining_runs")),
    )
    op.create_index(
        op.f("ix_retraining_runs_name_finished_at"),
        "retraining_runs",
        ["name", "finished_at"],
        unique=False,
    )
    is_text = op.get_bind().dialect.name == "sqlite"
    config = json.dumps(MODEL_CONFIG) if is_text else MODEL_CONFIG
    op.bulk_insert(
        retrainings,
        [
            {
                "name": name,
                "dataset_path": f"datasets/{name}.csv",
                "model_config": config,
                "channel": "default",
                "requested_by": "example",
                "created_at": time.time(),
            }
            for name in EXAMPLES
        ],
    )
