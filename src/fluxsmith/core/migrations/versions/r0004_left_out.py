"""Pictures that are left out of their dataset, and can be brought back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column."""
    op.add_column("dataset_images", sa.Column("left_out_at", sa.DateTime(timezone=True), nullable=True))
