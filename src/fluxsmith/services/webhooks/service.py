"""Tells others that a task has ended.

A webhook is written in the commit of its task, its first delivery in the commit in which the task ends, and
each further one in the commit that records the attempt before: so none is lost, whatever is killed when.
One delivery is one job. A delivery may be repeated after a crash: receivers get it at least once.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy.orm import Session

from fluxsmith.core.actor import Actor
from fluxsmith.core.database import Database
from fluxsmith.core.jobs import Companion, JobContext, JobQueue
from fluxsmith.core.logging import get_logger
from fluxsmith.core.outbound import Outbound
from fluxsmith.core.tables import WebhookAttemptRow, WebhookRow
from fluxsmith.errors import ConflictError, FluxsmithError, NotFoundError, PermissionDenied
from fluxsmith.services.webhooks import repository
from fluxsmith.services.webhooks.message import body_of, headers_of
from fluxsmith.services.webhooks.patience import Patience
from fluxsmith.services.webhooks.schema import Attempt, Webhook, WebhookState

JOB_KIND = "webhook"
GONE = 410  # the receiver says that it will never be there again

NotificationOf = Callable[[str, str, str], Mapping[str, Any]]
"""What there is to tell: of owner, task id and the server's address as the client knows it."""

_log = get_logger(__name__)
_random = secrets.SystemRandom()


@dataclass(frozen=True)
class _Outcome:
    """What came of one attempt: a status, or an error; `final` if another attempt is no use."""

    at: datetime
    duration_ms: int
    status_code: int | None
    error: str | None
    final: bool

    @property
    def delivered(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


class WebhookService:
    """Webhooks of all tasks: registered with the task, delivered by jobs of their own."""

    def __init__(self, db: Database, jobs: JobQueue, outbound: Outbound, patience: Patience) -> None:
        self._db = db
        self._jobs = jobs
        self._outbound = outbound
        self._patience = patience

    def registration(self, actor: Actor, url: str, secret: str | None, base_url: str) -> Companion:
        """What writes a webhook in the commit of its task.

        Args:
            actor: who asks to be told.
            url: where to.
            secret: what signs the notification; None leaves it unsigned.
            base_url: the address under which the client reached us, for links in the notification.

        Raises:
            ValidationError: the address is one that no webhook may go to.
        """
        self._outbound.check(url, field="webhook_url")

        def register(session: Session, task_id: str) -> None:
            repository.insert(session, actor.id, task_id, url, secret, base_url)

        return register

    def task_ended(self, session: Session, task_id: str) -> None:
        """Have the end of a task told, in the commit in which it ends."""
        for row in repository.waiting_for(session, task_id):
            self._start(session, row)

    def list(self, actor: Actor, limit: int = 100) -> list[Webhook]:
        """The actor's webhooks with their attempts, newest first."""
        with self._db.reading() as session:
            rows = repository.of_owner(session, actor.id, limit)
            attempts = repository.attempts_of(session, [row.id for row in rows])
        return [_webhook(row, attempts.get(row.id, [])) for row in rows]

    def get(self, actor: Actor, webhook_id: str) -> Webhook:
        """One webhook with its attempts.

        Raises:
            NotFoundError: there is none, or it is not the actor's.
        """
        with self._db.reading() as session:
            row = _owned(session, actor, webhook_id)
            attempts = repository.attempts_of(session, [row.id])
        return _webhook(row, attempts.get(row.id, []))

    def send_again(self, actor: Actor, webhook_id: str) -> Webhook:
        """Send it now, whatever came of it before; a delivery that waits is replaced.

        Raises:
            NotFoundError: there is none, or it is not the actor's.
            ConflictError: its task has not ended.
        """
        with self._db.session() as session:
            row = _owned(session, actor, webhook_id)
            if row.state == "waiting":
                raise ConflictError(
                    "task-not-ended",
                    "The task of this webhook has not ended, so there is nothing to tell yet.",
                    hint="It is sent by itself when the task ends.",
                )
            self._start(session, row)
        return self.get(actor, webhook_id)

    def deliver(self, ctx: JobContext, notification_of: NotificationOf) -> None:
        """Make one attempt: the handler of the job. May be called again after a crash."""
        with self._db.reading() as session:
            row = repository.of_delivery(session, ctx.job_id)
        if row is None:
            return
        outcome = self._attempt(row, notification_of)
        with ctx.finishing() as session:
            current = repository.of_delivery(session, ctx.job_id)
            if current is not None:
                self._note(session, current, outcome)

    def _attempt(self, row: WebhookRow, notification_of: NotificationOf) -> _Outcome:
        at, began = datetime.now(UTC), time.monotonic()
        status: int | None = None
        error, final = None, False
        try:
            body = body_of(notification_of(row.owner_id, row.task_id, row.base_url), at)
            status = self._outbound.post(row.url, body, headers_of(body, row.id, row.secret))
            final = status == GONE
        except PermissionDenied as refused:
            error, final = refused.message, True
        except FluxsmithError as failed:
            error = failed.message
        return _Outcome(at, round((time.monotonic() - began) * 1000), status, error, final)

    def _note(self, session: Session, row: WebhookRow, outcome: _Outcome) -> None:
        repository.add_attempt(
            session,
            row.id,
            at=outcome.at,
            duration_ms=outcome.duration_ms,
            status_code=outcome.status_code,
            error=outcome.error,
        )
        row.tries += 1
        row.next_at = None
        wait_s = None if outcome.final else self._wait_s(row)
        if outcome.delivered:
            row.state = "delivered"
        elif wait_s is None:
            row.state = "failed"
        else:
            self._schedule(session, row, wait_s)
        session.flush()
        _log.info(
            "Tried to deliver a webhook.",
            webhook=row.id,
            task=row.task_id,
            status=outcome.status_code,
            error=outcome.error,
            state=row.state,
        )

    def _wait_s(self, row: WebhookRow) -> float | None:
        since = row.since or row.created_at
        elapsed_s = (datetime.now(UTC) - since).total_seconds()
        return self._patience.next_wait_s(row.tries, elapsed_s, _random.uniform)

    def _start(self, session: Session, row: WebhookRow) -> None:
        row.since, row.tries = datetime.now(UTC), 0
        self._schedule(session, row, 0.0)

    def _schedule(self, session: Session, row: WebhookRow, wait_s: float) -> None:
        row.state, row.job_id = "sending", str(uuid.uuid4())
        row.next_at = datetime.now(UTC) + timedelta(seconds=wait_s)
        session.flush()
        self._jobs.enqueue(
            session, job_id=row.job_id, owner_id=row.owner_id, kind=JOB_KIND, queue="io", delay_s=wait_s
        )


def _owned(session: Session, actor: Actor, webhook_id: str) -> WebhookRow:
    row = repository.find(session, webhook_id)
    if row is None or row.owner_id != actor.id:
        raise NotFoundError("webhook-not-found", f"There is no webhook '{webhook_id}'.")
    return row


def _webhook(row: WebhookRow, attempts: Sequence[WebhookAttemptRow]) -> Webhook:
    return Webhook(
        id=row.id,
        task_id=row.task_id,
        url=row.url,
        signed=row.secret is not None,
        state=cast(WebhookState, row.state),
        next_at=row.next_at,
        attempts=tuple(
            Attempt(
                number=attempt.number,
                at=attempt.at,
                duration_ms=attempt.duration_ms,
                status_code=attempt.status_code,
                error=attempt.error,
            )
            for attempt in attempts
        ),
        created_at=row.created_at,
    )
