"""The ledger of paid requests: what we meant to ask for, and under which id it was accepted.

`intend` is on disk before a request is sent, `accepted` after its answer. A request whose answer never came
is thus known as one that may have been charged, and whoever continues the job after a crash polls what was
accepted instead of asking again. It also counts tasks in flight, over all processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxsmith.core.database import Database
from fluxsmith.core.job_schema import ENDED
from fluxsmith.core.tables import CloudTaskRow, JobRow


@dataclass(frozen=True)
class CloudTask:
    """One paid request.

    Args:
        part: which of the job's requests.
        ours: whether the caller has just written it, so that it is the one to send it.
        task_id: the remote id; None while there is no answer.
    """

    job_id: str
    part: int
    ours: bool
    intended_at: datetime
    task_id: str | None
    polling_url: str | None


class CloudTasks:
    """Reads and writes the ledger of one provider."""

    def __init__(self, db: Database, provider: str, most_in_flight: int) -> None:
        self._db = db
        self._provider = provider
        self._most = most_in_flight

    def intend(self, job_id: str, part: int, endpoint: str) -> CloudTask | None:
        """Write that a request is about to be sent, unless it has been written before.

        Returns:
            the new or the known request; None if as many as allowed are in flight.
        """
        with self._db.session() as session:
            known = session.get(CloudTaskRow, (job_id, part))
            if known is not None:
                return _task(known, ours=False)
            if self._in_flight(session) >= self._most:
                return None
            row = CloudTaskRow(
                job_id=job_id,
                part=part,
                provider=self._provider,
                endpoint=endpoint,
                intended_at=datetime.now(UTC),
            )
            session.add(row)
            session.flush()
            return _task(row, ours=True)

    def get(self, job_id: str, part: int) -> CloudTask:
        """A request that was written before."""
        with self._db.reading() as session:
            return _task(session.get_one(CloudTaskRow, (job_id, part)), ours=False)

    def accepted(self, task: CloudTask, task_id: str, polling_url: str | None) -> CloudTask:
        """Write the answer to a request."""
        with self._db.session() as session:
            row = session.get_one(CloudTaskRow, (task.job_id, task.part))
            row.task_id, row.polling_url, row.answered_at = task_id, polling_url, datetime.now(UTC)
            session.flush()
            return _task(row, ours=task.ours)

    def refused(self, task: CloudTask) -> None:
        """Strike a request out that was certainly not carried out: it may be sent again."""
        with self._db.session() as session:
            row = session.get(CloudTaskRow, (task.job_id, task.part))
            if row is not None and row.task_id is None:
                session.delete(row)

    def ended(self, job_id: str, part: int) -> None:
        """Write that nobody waits for a request any more."""
        with self._db.session() as session:
            row = session.get(CloudTaskRow, (job_id, part))
            if row is not None and row.ended_at is None:
                row.ended_at = datetime.now(UTC)

    def _in_flight(self, session: Session) -> int:
        """Requests that have not ended, of jobs that still run; those of lost jobs do not count."""
        query = (
            select(func.count())
            .select_from(CloudTaskRow)
            .join(JobRow, JobRow.id == CloudTaskRow.job_id)
            .where(
                CloudTaskRow.provider == self._provider,
                CloudTaskRow.ended_at.is_(None),
                JobRow.state.not_in(ENDED),
            )
        )
        return session.scalar(query) or 0


def _task(row: CloudTaskRow, *, ours: bool) -> CloudTask:
    return CloudTask(
        job_id=row.job_id,
        part=row.part,
        ours=ours,
        intended_at=row.intended_at,
        task_id=row.task_id,
        polling_url=row.polling_url,
    )
