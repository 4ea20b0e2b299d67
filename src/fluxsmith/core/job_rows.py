"""SQL of jobs and their events. Every function works in its caller's transaction.

Each change updates the job's row first: that takes the row's lock, so that numbers of events are
given out by one transaction at a time. A change by a worker carries the fence of its attempt, and
changes nothing if a later attempt has begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from fluxsmith.core.job_schema import Event, Job, JobError, JobState
from fluxsmith.core.tables import EventRow, JobRow


@dataclass(frozen=True)
class NewEvent:
    """A fact that has no number yet."""

    at: datetime
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    stage: str
    step: int
    total: int
    eta_s: float | None


@dataclass(frozen=True)
class Claim:
    """An attempt that has begun.

    Args:
        fence: its number.
        last_seq: the number of the job's newest event.
        cancel_requested: whether somebody asked to stop.
        fruitless: how many attempts in a row have begun, this one included, since the job last got on.
    """

    fence: int
    last_seq: int
    cancel_requested: bool
    fruitless: int


def state_event(state: JobState, **data: Any) -> NewEvent:
    """The event that says which state a job has entered."""
    return NewEvent(datetime.now(UTC), "state", {"state": state, **data})


def add(session: Session, job_id: str, owner_id: str, kind: str, queue: str) -> None:
    """Write a new queued job and its first event."""
    now = datetime.now(UTC)
    session.add(
        JobRow(
            id=job_id,
            owner_id=owner_id,
            kind=kind,
            queue=queue,
            state="queued",
            fence=0,
            cancel_requested=False,
            stage="",
            step=0,
            total=0,
            created_at=now,
        )
    )
    session.flush()
    append(session, job_id, 0, 0, [state_event("queued")])


def active_count(session: Session, owner_id: str, kinds: Sequence[str]) -> int:
    """How many jobs of these kinds of an owner wait or run."""
    query = (
        select(func.count())
        .select_from(JobRow)
        .where(JobRow.owner_id == owner_id, JobRow.kind.in_(kinds), JobRow.state.in_(("queued", "running")))
    )
    return session.scalar(query) or 0


def claim(session: Session, job_id: str, worker_id: str) -> Claim | None:
    """Begin an attempt at a job; None if the job has ended or does not exist."""
    now = datetime.now(UTC)
    row = session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state.in_(("queued", "running")))
        .values(
            fence=JobRow.fence + 1,
            state="running",
            worker_id=worker_id,
            started_at=func.coalesce(JobRow.started_at, now),
        )
        .returning(JobRow.fence, JobRow.cancel_requested)
    ).one_or_none()
    if row is None:
        return None
    seq = append(
        session, job_id, row.fence, last_seq(session, job_id), [state_event("running", attempt=row.fence)]
    )
    return Claim(row.fence, seq, row.cancel_requested, _attempts_since_progress(session, job_id))


def hold(session: Session, job_id: str, fence: int, progress: Progress | None) -> bool | None:
    """Lock a running job for its attempt and write progress, if there is any.

    Returns:
        whether somebody asked to cancel it; None if the attempt no longer holds the job.
    """
    values: dict[str, Any] = {"fence": fence}
    if progress is not None:
        values |= {
            "stage": progress.stage,
            "step": progress.step,
            "total": progress.total,
            "eta_s": progress.eta_s,
        }
    return session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.fence == fence, JobRow.state == "running")
        .values(**values)
        .returning(JobRow.cancel_requested)
    ).scalar_one_or_none()


def glance(session: Session, job_id: str, fence: int) -> bool | None:
    """What `hold` returns, without a lock or a write."""
    return session.execute(
        select(JobRow.cancel_requested).where(
            JobRow.id == job_id, JobRow.fence == fence, JobRow.state == "running"
        )
    ).scalar_one_or_none()


def end(session: Session, job_id: str, state: JobState, error: JobError | None) -> None:
    """Write the end of a job whose row the caller holds."""
    values: dict[str, Any] = {"state": state, "ended_at": datetime.now(UTC), "eta_s": None}
    if error is not None:
        values |= {"error_code": error.code, "error_message": error.message, "error_hint": error.hint}
    session.execute(update(JobRow).where(JobRow.id == job_id).values(**values))


def cancel_queued(session: Session, job_id: str) -> bool:
    """End a job that nobody has begun; False if it is not queued."""
    fence = session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state == "queued")
        .values(state="cancelled", cancel_requested=True, ended_at=datetime.now(UTC))
        .returning(JobRow.fence)
    ).scalar_one_or_none()
    if fence is None:
        return False
    append(session, job_id, fence, last_seq(session, job_id), [state_event("cancelled")])
    return True


def flag_cancel(session: Session, job_id: str) -> None:
    """Ask the attempt that holds a running job to stop."""
    session.execute(
        update(JobRow).where(JobRow.id == job_id, JobRow.state == "running").values(cancel_requested=True)
    )


def last_seq(session: Session, job_id: str) -> int:
    """The number of a job's newest event; 0 if it has none."""
    return session.scalar(select(func.max(EventRow.seq)).where(EventRow.job_id == job_id)) or 0


def append(session: Session, job_id: str, fence: int, last: int, events: Sequence[NewEvent]) -> int:
    """Number events from `last` + 1 on, write them, and return the last number."""
    if events:
        session.execute(
            insert(EventRow),
            [
                {
                    "job_id": job_id,
                    "seq": last + number,
                    "fence": fence,
                    "at": event.at,
                    "kind": event.kind,
                    "data": event.data,
                }
                for number, event in enumerate(events, start=1)
            ],
        )
    return last + len(events)


def find(session: Session, job_ids: Sequence[str]) -> dict[str, Job]:
    """Jobs by id; ids that do not exist are left out."""
    found = {}
    for start in range(0, len(job_ids), 500):  # databases limit the values in one statement
        chunk = job_ids[start : start + 500]
        for row in session.scalars(select(JobRow).where(JobRow.id.in_(chunk))):
            found[row.id] = job_of(row)
    return found


def events(session: Session, job_id: str, after: int, limit: int) -> list[Event]:
    """Events with a number above `after`, oldest first."""
    query = (
        select(EventRow)
        .where(EventRow.job_id == job_id, EventRow.seq > after)
        .order_by(EventRow.seq)
        .limit(limit)
    )
    return [Event(seq=row.seq, at=row.at, kind=row.kind, data=row.data) for row in session.scalars(query)]


def _attempts_since_progress(session: Session, job_id: str) -> int:
    own = EventRow.job_id == job_id
    got_on = session.scalar(select(func.max(EventRow.seq)).where(own, EventRow.kind != "state")) or 1
    return session.scalar(select(func.count()).select_from(EventRow).where(own, EventRow.seq > got_on)) or 0


def job_of(row: JobRow) -> Job:
    """The job that a row tells of."""
    error = None
    if row.error_code is not None:
        error = JobError(code=row.error_code, message=row.error_message or "", hint=row.error_hint or "")
    return Job.model_validate(
        {
            "id": row.id,
            "owner_id": row.owner_id,
            "kind": row.kind,
            "queue": row.queue,
            "state": row.state,
            "stage": row.stage,
            "step": row.step,
            "total": row.total,
            "eta_s": row.eta_s,
            "error": error,
            "created_at": row.created_at,
            "started_at": row.started_at,
            "ended_at": row.ended_at,
        }
    )
