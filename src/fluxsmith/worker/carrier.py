"""Carries out one job at a time per queue: begin an attempt, run its handler, write how it ended.

The rule that makes jobs durable: `carry_out` returns only when the job has ended or another attempt has
it. While the process stops it never returns, so that the job is found unfinished by whoever comes next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from fluxsmith.core.jobs import Handler, JobContext, JobError, JobQueue
from fluxsmith.core.logging import bind_context, get_logger
from fluxsmith.errors import Cancelled, FluxsmithError, LeaseLost, StorageError

T = TypeVar("T")

RETRY_S = 2.0  # between tries to write to a database that is full or locked

_log = get_logger(__name__)


class Carrier:
    """Runs handlers by the kind of job; one instance a worker process."""

    def __init__(self, jobs: JobQueue, worker_id: str, handlers: Mapping[str, Handler]) -> None:
        self._jobs = jobs
        self._worker_id = worker_id
        self._handlers = handlers
        self._running: dict[str, JobContext] = {}
        self._stopping = threading.Event()

    def carry_out(self, job_id: str) -> None:
        """Bring a job to its end, unless it has ended or is taken over."""
        with bind_context(job_id=job_id):
            self._carry_out(job_id)
            self._never_return_while_stopping()

    def _carry_out(self, job_id: str) -> None:
        context = self._insist(lambda: self._jobs.begin(job_id, self._worker_id))
        if context is None:
            return
        _log.info("The job begins.", worker=self._worker_id)
        self._running[job_id] = context
        try:
            with context:
                try:
                    self._insist(self._attempt(context))
                    _log.info("The job has ended.")
                except LeaseLost:
                    _log.info("The job is carried out by another attempt now.")
        finally:
            self._running.pop(job_id, None)

    def stop(self) -> None:
        """Let go of all jobs, unfinished: whoever comes next continues them."""
        self._stopping.set()
        for context in list(self._running.values()):
            context.abandon()

    def _attempt(self, context: JobContext) -> Callable[[], None]:
        """Run the handler, and return what writes the job's end."""
        try:
            if context.cancelled():
                return context.cancel
            self._handler(context.job_id)(context)
        except LeaseLost:
            raise
        except Cancelled:
            return context.cancel
        except FluxsmithError as error:
            ending = JobError(code=error.code, message=error.message, hint=error.hint)
        except Exception:  # noqa: BLE001 - the edge of a job: whatever happens, the job ends
            _log.exception("The job failed.")
            ending = _internal_error(context.job_id)
        else:
            return context.complete
        return lambda: context.fail(ending)

    def _handler(self, job_id: str) -> Handler:
        kind = self._jobs.get(job_id).kind
        if kind not in self._handlers:
            raise FluxsmithError(
                "unknown-job-kind",
                f"This version does not know how to carry out '{kind}'.",
                hint="Update fluxsmith on this machine.",
            )
        return self._handlers[kind]

    def _insist(self, write: Callable[[], T]) -> T:
        """Do what must be done, again and again while the database refuses."""
        while True:
            self._never_return_while_stopping()
            try:
                return write()
            except StorageError as error:
                _log.warning("The database refuses; trying again.", error=str(error))
                self._stopping.wait(RETRY_S)

    def _never_return_while_stopping(self) -> None:
        if self._stopping.is_set():
            threading.Event().wait()


def _internal_error(job_id: str) -> JobError:
    return JobError(
        code="internal-error",
        message=f"Job {job_id} failed for a reason that fluxsmith did not expect.",
        hint="The server's log has the details under this id.",
    )
