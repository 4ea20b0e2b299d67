"""What a handler holds while it carries out a job: progress out, cancel in, one end.

Reports are buffered and written by a thread of the context a few times a second, so that a training
step never waits for the disk; all are written before the job ends. Every write carries the fence of
the attempt: once another attempt has begun, nothing of this one is written any more, and the handler
learns it by `LeaseLost` at its next call.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy.orm import Session

from fluxsmith.core import job_rows
from fluxsmith.core.database import Database
from fluxsmith.core.job_rows import Claim, NewEvent, Progress
from fluxsmith.core.job_schema import JobError, JobState
from fluxsmith.core.logging import get_logger
from fluxsmith.errors import FluxsmithError, LeaseLost

FLUSH_INTERVAL_S = 0.2

_log = get_logger(__name__)


class JobContext:
    """One attempt at one job. Use it as a context manager; its methods may be called from any thread."""

    def __init__(
        self, db: Database, job_id: str, claim: Claim, when_ended: Callable[[Session, str], None]
    ) -> None:
        self.job_id = job_id
        self.attempt = claim.fence
        self._db = db
        self._when_ended = when_ended
        self._seq = claim.last_seq
        self._cancelled = claim.cancel_requested
        self._events: list[NewEvent] = []
        self._progress: Progress | None = None
        self._lost = False
        self._ended = False
        self._trouble: FluxsmithError | None = None
        self._lock = threading.Lock()  # guards the buffers
        self._writing = threading.RLock()  # one transaction of this attempt at a time
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._flush_often, name=f"job-{job_id[:8]}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def ended(self) -> bool:
        """Whether this attempt has written the job's end."""
        return self._ended

    def progress(
        self,
        stage: str,
        step: int,
        total: int,
        *,
        loss: float | None = None,
        learning_rate: float | None = None,
        eta_s: float | None = None,
    ) -> None:
        """Tell the stage, the step in it and what is known of it; every call becomes an event.

        Raises:
            LeaseLost: another attempt has begun; stop without a trace.
            StorageError: what was told before could not be written.
        """
        data: dict[str, Any] = {"stage": stage, "step": step, "total": total}
        extras = {"loss": loss, "learning_rate": learning_rate, "eta_s": eta_s}
        data |= {name: value for name, value in extras.items() if value is not None}
        self._report(NewEvent(datetime.now(UTC), "progress", data), Progress(stage[:64], step, total, eta_s))

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """Add a fact about the job. Inside `finishing` it is part of the same commit.

        Raises:
            LeaseLost, StorageError: as in `progress`.
        """
        self._report(NewEvent(datetime.now(UTC), kind, data), None)

    def message(self, text: str) -> None:
        """Add a line to the job's log, in words for people."""
        self.event("message", {"text": text})

    def cancelled(self) -> bool:
        """Whether somebody asked to stop; costs nothing, so ask at every step.

        Raises:
            LeaseLost, StorageError: as in `progress`.
        """
        self._check()
        return self._cancelled

    @contextlib.contextmanager
    def finishing(self) -> Iterator[Session]:
        """One commit for the handler's result, all events so far and the state "done".

        Raises:
            LeaseLost: another attempt has begun; nothing is written.
        """
        with self._ending("done", None) as session:
            yield session

    def complete(self) -> None:
        """End the job as done, without a result; nothing if this attempt has ended it already."""
        if not self._ended:
            with self._ending("done", None):
                pass

    def fail(self, error: JobError) -> None:
        """End the job as failed; nothing if this attempt has ended it already."""
        if not self._ended:
            with self._ending("failed", error):
                pass

    def cancel(self) -> None:
        """End the job as cancelled; nothing if this attempt has ended it already."""
        if not self._ended:
            with self._ending("cancelled", None):
                pass

    def flush(self) -> None:
        """Write what has been reported so far, and learn whether to stop.

        Raises:
            LeaseLost: another attempt has begun.
            StorageError: the database refused; the reports are kept for the next time.
        """
        with self._writing:
            if self._ended:
                return
            with self._lock:
                events, progress = list(self._events), self._progress
            if not events and progress is None:
                self._look()
            else:
                self._write(events, progress)
            self._trouble = None

    def abandon(self) -> None:
        """Let go of the job without ending it, so that another attempt continues; idempotent."""
        with contextlib.suppress(FluxsmithError):
            self.flush()
        self._lost = True

    def _report(self, event: NewEvent, progress: Progress | None) -> None:
        self._check()
        with self._lock:
            self._events.append(event)
            if progress is not None:
                self._progress = progress

    def _check(self) -> None:
        if self._lost:
            raise LeaseLost(self.job_id)
        if self._trouble is not None:
            raise self._trouble

    def _flush_often(self) -> None:
        while not self._stop.wait(FLUSH_INTERVAL_S):
            try:
                self.flush()
            except LeaseLost:
                return
            except FluxsmithError as error:
                self._trouble = error
            except Exception as error:  # noqa: BLE001 - the edge of a thread
                _log.exception("Reports of a job could not be written.", job_id=self.job_id)
                self._trouble = FluxsmithError(
                    "internal-error", f"Reports of job {self.job_id} could not be written: {error}"
                )

    def _look(self) -> None:
        with self._db.reading() as session:
            flag = job_rows.glance(session, self.job_id, self.attempt)
        self._note(flag)

    def _write(self, events: list[NewEvent], progress: Progress | None) -> None:
        with self._db.session() as session:
            self._note(job_rows.hold(session, self.job_id, self.attempt, progress))
            seq = job_rows.append(session, self.job_id, self.attempt, self._seq, events)
        self._written(seq, len(events), progress)

    def _written(self, seq: int, events: int, progress: Progress | None) -> None:
        self._seq = seq
        with self._lock:
            del self._events[:events]
            if self._progress is progress:
                self._progress = None

    def _note(self, cancel_requested: bool | None) -> None:
        if cancel_requested is None or self._lost:
            self._lost = True
            raise LeaseLost(self.job_id)
        self._cancelled = cancel_requested

    @contextlib.contextmanager
    def _ending(self, state: JobState, error: JobError | None) -> Iterator[Session]:
        with self._writing:
            with self._lock:
                before, progress = len(self._events), self._progress
            try:
                with self._db.session() as session:
                    self._note(job_rows.hold(session, self.job_id, self.attempt, progress))
                    yield session
                    with self._lock:
                        events = list(self._events)
                    data = {} if error is None else {"error": error.model_dump()}
                    last = job_rows.state_event(state, **data)
                    job_rows.append(session, self.job_id, self.attempt, self._seq, [*events, last])
                    job_rows.end(session, self.job_id, state, error)
                    self._when_ended(session, self.job_id)
            except BaseException:
                with self._lock:
                    del self._events[before:]  # they told of a commit that never came
                raise
            self._ended = True
            self._stop.set()


Handler = Callable[[JobContext], None]
"""Carries out a job. Raises FluxsmithError to fail it, Cancelled to cancel it, LeaseLost to walk away."""
