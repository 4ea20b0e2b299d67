"""Runs revisions on the connection that `fluxsmith.core.schema` hands over."""

from __future__ import annotations

from alembic import context

from fluxsmith.core.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite alters tables by copying them
)
with context.begin_transaction():
    context.run_migrations()
