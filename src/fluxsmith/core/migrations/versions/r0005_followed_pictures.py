"""Pictures that a generation follows: references, controls, fills and their masks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; earlier generations followed none."""
    op.add_column("generations", sa.Column("pictures", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("generations") as batch:
        batch.alter_column("pictures", server_default=None)
