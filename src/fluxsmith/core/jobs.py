"""Jobs: durable background work, seen from those who ask for it.

`JobQueue` enqueues, reads and cancels; it never runs anything. Our own tables are the truth about a
job; DBOS Transact, in the same database, brings each to a worker (`fluxsmith.worker`) and brings it
back after a crash. `JobContext` is what a handler holds while it works.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fluxsmith.core import job_rows
from fluxsmith.core.database import Database
from fluxsmith.core.job_context import Handler, JobContext
from fluxsmith.core.job_schema import Event, Job, JobError, JobState, QueueName, WorkerInfo, WorkerState
from fluxsmith.core.logging import get_logger
from fluxsmith.core.workers import WorkerRegistry
from fluxsmith.errors import NotFoundError

if TYPE_CHECKING:
    from dbos import DBOSClient, EnqueueOptions

__all__ = [
    "MAX_FRUITLESS_ATTEMPTS",
    "Event",
    "Handler",
    "Job",
    "JobContext",
    "JobError",
    "JobQueue",
    "JobState",
    "QueueName",
    "WorkerInfo",
    "WorkerState",
]

APPLICATION = "fluxsmith"
APPLICATION_VERSION = "fluxsmith-jobs-1"  # of the workflow's shape, not ours: new versions take over old jobs
WORKFLOW = "carry_out"
MAX_FRUITLESS_ATTEMPTS = 20  # a job that ends its worker each time must not do so for ever

_log = get_logger(__name__)

Companion = Callable[[Session, str], None]
"""Writes something about a job in the transaction in which the job is written, or ends."""


class JobQueue:
    """Enqueues, follows and cancels jobs, from any process and thread."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._workers = WorkerRegistry(db)
        self._listeners: list[Companion] = []

    def when_ended(self, listener: Companion) -> None:
        """Have `listener` write in the very commit in which any job ends, however it ends."""
        self._listeners.append(listener)

    def enqueue(
        self,
        session: Session,
        *,
        job_id: str,
        owner_id: str,
        kind: str,
        queue: QueueName,
        delay_s: float = 0.0,
    ) -> None:
        """Write a job in the caller's transaction: it exists if and only if that commits.

        Args:
            session: the transaction.
            job_id: of the new job.
            owner_id: whose it is.
            kind: which handler carries it out.
            queue: where it waits.
            delay_s: how long it waits at least.
        """
        from dbos import WorkflowSerializationFormat

        job_rows.add(session, job_id, owner_id, kind, queue)
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": queue,
            "workflow_id": job_id,
            "app_version": APPLICATION_VERSION,
            "serialization_type": WorkflowSerializationFormat.PORTABLE,  # JSON, never pickle
        }
        if delay_s > 0:
            options["delay_seconds"] = delay_s
        self._dbos.enqueue_in_transaction(session, options, job_id)

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFoundError: there is none.
        """
        found = self.get_many([job_id])
        if job_id not in found:
            raise NotFoundError("job-not-found", f"There is no job '{job_id}'.")
        return found[job_id]

    def get_many(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Jobs by id; ids that do not exist are left out."""
        with self._db.reading() as session:
            return job_rows.find(session, job_ids)

    def events(self, job_id: str, after: int = 0, limit: int = 10_000) -> list[Event]:
        """Events of a job after number `after`, oldest first."""
        with self._db.reading() as session:
            return job_rows.events(session, job_id, after, limit)

    def request_cancel(self, job_id: str) -> Job:
        """Cancel: a queued job ends at once, a running one is asked to stop, an ended one stays.

        Raises:
            NotFoundError: there is none.
        """
        with self._db.session() as session:
            ended = job_rows.cancel_queued(session, job_id)
            if ended:
                self._tell_ended(session, job_id)
            else:
                job_rows.flag_cancel(session, job_id)
        if ended:
            self._withdraw(job_id)
        return self.get(job_id)

    def begin(self, job_id: str, worker_id: str) -> JobContext | None:
        """Begin an attempt at a job; from now on all earlier attempts are refused.

        Returns:
            the attempt's context, or None if the job has ended or is gone.
        """
        with self._db.session() as session:
            claim = job_rows.claim(session, job_id, worker_id)
        if claim is None:
            return None
        context = JobContext(self._db, job_id, claim, self._tell_ended)
        if claim.fruitless <= MAX_FRUITLESS_ATTEMPTS:
            return context
        context.fail(_ends_its_worker(claim.fruitless - 1))
        return None

    def worker_ready(self) -> bool:
        """Whether a worker lives that has loaded what it needs."""
        return any(worker.alive and worker.state == "ready" for worker in self.workers())

    def workers(self) -> list[WorkerInfo]:
        """The workers that have been seen lately."""
        return self._workers.all()

    def close(self) -> None:
        """Let go of what was opened."""
        client = self.__dict__.pop("_dbos", None)
        if client is not None:
            client.destroy()

    @cached_property
    def _dbos(self) -> DBOSClient:
        from dbos import DBOSClient  # here, not above: a third of a second that reading never needs

        logging.getLogger("dbos").setLevel(logging.WARNING)
        return DBOSClient(system_database_engine=self._db.engine, application_name=APPLICATION, lazy=True)

    def _tell_ended(self, session: Session, job_id: str) -> None:
        for listener in self._listeners:
            listener(session, job_id)

    def _withdraw(self, job_id: str) -> None:
        """Spare the worker a job that has ended; if this fails, the worker finds that out itself."""
        try:
            self._dbos.cancel_workflow(job_id)
        except sa.exc.DBAPIError as error:
            _log.warning("A cancelled job is still queued.", job_id=job_id, error=str(error))


def _ends_its_worker(times: int) -> JobError:
    return JobError(
        code="worker-lost",
        message=f"The worker process ended {times} times in a row while it carried this job out.",
        hint="Ask for smaller or fewer pictures, or look for the reason in the server's log.",
    )
