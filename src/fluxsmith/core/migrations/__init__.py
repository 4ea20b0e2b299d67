"""Alembic's environment and our schema's revisions; run by `fluxsmith.core.schema`, never by hand."""
