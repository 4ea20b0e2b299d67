"""The schema's version: which migrations there are, which have run, and running them.

Ours are Alembic revisions shipped in `core/migrations`; DBOS brings its own. Nothing here opens or
backs up files: that is `Database.migrate`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

MIGRATIONS = Path(__file__).with_name("migrations")


def current(engine: sa.Engine) -> str | None:
    """The revision that the database is at; None for a database without our tables."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """The newest revision that this version ships."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def pending(engine: sa.Engine) -> bool:
    """Whether the database is behind."""
    return current(engine) != head()


def upgrade(engine: sa.Engine) -> None:
    """Run all revisions that are missing, in one transaction."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def upgrade_dbos(url: str) -> None:
    """Create or upgrade the tables of DBOS, so that a job can be enqueued before any worker has run."""
    from dbos import DBOS  # here, not above: a third of a second that most commands never need

    logging.getLogger("dbos").setLevel(logging.WARNING)
    DBOS.migrate(url)
