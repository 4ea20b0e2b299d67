"""SQL of webhooks and their attempts."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxsmith.core.tables import WebhookAttemptRow, WebhookRow


def insert(
    session: Session, owner_id: str, task_id: str, url: str, secret: str | None, base_url: str
) -> WebhookRow:
    """Write a webhook that waits for its task."""
    row = WebhookRow(
        id=str(uuid.uuid4()),
        owner_id=owner_id,
        task_id=task_id,
        url=url,
        secret=secret,
        base_url=base_url,
        state="waiting",
        tries=0,
        created_at=datetime.now(UTC),
    )
    session.add(row)
    session.flush()
    return row


def find(session: Session, webhook_id: str) -> WebhookRow | None:
    """The row of that id."""
    return session.get(WebhookRow, webhook_id)


def waiting_for(session: Session, task_id: str) -> list[WebhookRow]:
    """Webhooks that wait for a task to end."""
    query = select(WebhookRow).where(WebhookRow.task_id == task_id, WebhookRow.state == "waiting")
    return list(session.scalars(query))


def of_delivery(session: Session, job_id: str) -> WebhookRow | None:
    """The webhook that a delivery is for; None if another delivery has taken its place."""
    query = select(WebhookRow).where(WebhookRow.job_id == job_id, WebhookRow.state == "sending")
    return session.scalars(query).one_or_none()


def of_owner(session: Session, owner_id: str, limit: int) -> list[WebhookRow]:
    """Webhooks of an owner, newest first."""
    query = (
        select(WebhookRow)
        .where(WebhookRow.owner_id == owner_id)
        .order_by(WebhookRow.created_at.desc())
        .limit(limit)
    )
    return list(session.scalars(query))


def attempts_of(session: Session, webhook_ids: Sequence[str]) -> dict[str, list[WebhookAttemptRow]]:
    """The attempts of some webhooks, oldest first."""
    query = (
        select(WebhookAttemptRow)
        .where(WebhookAttemptRow.webhook_id.in_(webhook_ids))
        .order_by(WebhookAttemptRow.number)
    )
    found: defaultdict[str, list[WebhookAttemptRow]] = defaultdict(list)
    for row in session.scalars(query):
        found[row.webhook_id].append(row)
    return found


def add_attempt(
    session: Session,
    webhook_id: str,
    *,
    at: datetime,
    duration_ms: int,
    status_code: int | None,
    error: str | None,
) -> None:
    """Write what came of an attempt, under the next number."""
    last = select(func.max(WebhookAttemptRow.number)).where(WebhookAttemptRow.webhook_id == webhook_id)
    session.add(
        WebhookAttemptRow(
            webhook_id=webhook_id,
            number=(session.scalar(last) or 0) + 1,
            at=at,
            duration_ms=duration_ms,
            status_code=status_code,
            error=error,
        )
    )
    session.flush()
