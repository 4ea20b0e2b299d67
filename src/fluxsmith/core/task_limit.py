"""How many tasks of one owner may be active at once: generations and finetunes, from whichever surface.

Counted in the transaction that adds the next one, so that two requests at once cannot both be the last.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from fluxsmith.core import job_rows
from fluxsmith.errors import TaskLimitError

TASK_KINDS = ("generate", "finetune")


class TaskLimit:
    """Admits tasks up to a number.

    Args:
        most: how many may wait or run.
    """

    def __init__(self, most: int) -> None:
        self.most = most

    def admit(self, session: Session, owner_id: str) -> None:
        """Let one more task be added in this transaction.

        Raises:
            TaskLimitError: as many as may are active.
        """
        active = job_rows.active_count(session, owner_id, TASK_KINDS)
        if active >= self.most:
            raise TaskLimitError(active, self.most)
