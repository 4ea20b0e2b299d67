"""Paid requests to remote services, kept answers of theirs, and LoRAs that a provider keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables and add the column."""
    op.create_table(
        "cloud_tasks",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("endpoint", sa.String(length=200), nullable=False),
        sa.Column("task_id", sa.String(length=200), nullable=True),
        sa.Column("polling_url", sa.Text(), nullable=True),
        sa.Column("intended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "part", name=op.f("pk_cloud_tasks")),
    )
    op.create_index(op.f("ix_cloud_tasks_provider"), "cloud_tasks", ["provider"], unique=False)
    op.create_table(
        "kept_answers",
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("etag", sa.String(length=200), nullable=True),
        sa.Column("fresh_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_kept_answers")),
    )
    op.add_column("models", sa.Column("remote_id", sa.String(length=200), nullable=True))
