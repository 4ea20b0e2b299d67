"""How many tasks of one owner may be active at once: generations and finetunes, from whichever surface.

Counted in the transaction that adds the next one, so that two requests at once cannot both be the last.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from fluxsmith.core import job_rows
from fluxsmith.core.database import Database
from fluxsmith.errors import TaskLimitError

TASK_KINDS = ("generate", "finetune")


@dataclass(frozen=True)
class TaskRoom:
    """How many tasks of one owner are active, and how many may be."""

    active: int
    limit: int


class TaskLimit:
    """Admits tasks up to a number.

    Args:
        db: where tasks are counted when somebody only asks.
        most: how many may wait or run.
    """

    def __init__(self, db: Database, most: int) -> None:
        self._db = db
        self.most = most

    def room(self, owner_id: str) -> TaskRoom:
        """How things stand now."""
        with self._db.reading() as session:
            return TaskRoom(job_rows.active_count(session, owner_id, TASK_KINDS), self.most)

    def admit(self, session: Session, owner_id: str) -> None:
        """Let one more task be added in this transaction.

        Raises:
            TaskLimitError: as many as may are active.
        """
        active = job_rows.active_count(session, owner_id, TASK_KINDS)
        if active >= self.most:
            raise TaskLimitError(active, self.most)
