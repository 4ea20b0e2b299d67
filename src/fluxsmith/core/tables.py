"""The database's tables, as SQLAlchemy maps them.

Schema changes are Alembic migrations (`core/migrations`); a test compares the two. Times are UTC.
Rows never leave a repository: services hand out schema objects.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, ForeignKey, Index, MetaData, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time that is aware of its zone on every database; SQLite itself forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Table(DeclarativeBase):
    """Base of all tables; names its constraints so that migrations can find them."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime(), dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class DatasetRow(Table):
    """A named, owned set of pictures."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class DatasetImageRow(Table):
    """One picture of a dataset: normalised RGB PNG in storage, words in the row."""

    __tablename__ = "dataset_images"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    filename: Mapped[str] = mapped_column(String(255))
    storage_key: Mapped[str] = mapped_column(String(300))
    sha256: Mapped[str] = mapped_column(String(64))
    width: Mapped[int]
    height: Mapped[int]
    caption: Mapped[str | None] = mapped_column(Text)
    left_out_at: Mapped[datetime | None]


class JobRow(Table):
    """A durable unit of background work. `fence` grows with every attempt; writes carry it."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    queue: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16), index=True)
    fence: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[str | None] = mapped_column(String(64))
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    stage: Mapped[str] = mapped_column(String(64), default="")
    step: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    eta_s: Mapped[float | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    error_hint: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class EventRow(Table):
    """One append-only fact about a job."""

    __tablename__ = "events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    fence: Mapped[int]
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(16))
    data: Mapped[dict[str, Any]]


class WorkerRow(Table):
    """A worker process and when it last said that it lives."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    pid: Mapped[int]
    host: Mapped[str] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str] = mapped_column(Text, default="")
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]


class FinetuneRow(Table):
    """One training run; shares its id with its job and with the model it makes."""

    __tablename__ = "finetunes"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(64), index=True)
    provider: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(200))
    base_model: Mapped[str] = mapped_column(String(200))
    trigger_word: Mapped[str] = mapped_column(String(100))
    mode: Mapped[str] = mapped_column(String(16))
    captioning: Mapped[bool]
    parameters: Mapped[dict[str, Any]]
    dataset_id: Mapped[str] = mapped_column(String(36))
    snapshot: Mapped[list[Any]]
    facts: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class ModelRow(Table):
    """A finetuned LoRA that can be drawn with.

    `remote_id` is the name under which the provider of its base keeps it. Where there is no file here,
    `storage_key` and `sha256` are empty.
    """

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(200))
    base_model: Mapped[str] = mapped_column(String(200))
    trigger_word: Mapped[str] = mapped_column(String(100))
    storage_key: Mapped[str] = mapped_column(String(300))
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int]
    remote_id: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class GenerationRow(Table):
    """One request for pictures; shares its id with its job."""

    __tablename__ = "generations"

    id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(64), index=True)
    provider: Mapped[str] = mapped_column(String(32))
    model_id: Mapped[str] = mapped_column(String(200))
    request: Mapped[dict[str, Any]]
    pictures: Mapped[list[Any]]
    outputs: Mapped[list[Any]]
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class CloudTaskRow(Table):
    """A paid request to a remote service: written before it is sent, completed by the answer.

    Not tied to the job's row: what was paid for outlives it. `ended_at` is when nobody waits for it any more.
    """

    __tablename__ = "cloud_tasks"

    job_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(String(32), index=True)
    endpoint: Mapped[str] = mapped_column(String(200))
    task_id: Mapped[str | None] = mapped_column(String(200))
    polling_url: Mapped[str | None] = mapped_column(Text)
    intended_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class KeptAnswerRow(Table):
    """An answer of a remote service that is not asked for again while it is fresh."""

    __tablename__ = "kept_answers"

    name: Mapped[str] = mapped_column(String(500), primary_key=True)
    body: Mapped[str] = mapped_column(Text)
    etag: Mapped[str | None] = mapped_column(String(200))
    fresh_until: Mapped[datetime]


class WebhookRow(Table):
    """Where the end of a task is told, and how far that is. `job_id` is the delivery that counts now."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(64))
    task_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str | None] = mapped_column(Text)
    base_url: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    job_id: Mapped[str | None] = mapped_column(String(36), index=True)
    tries: Mapped[int] = mapped_column(default=0)
    since: Mapped[datetime | None]
    next_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class WebhookAttemptRow(Table):
    """One attempt to deliver a webhook, and what came of it."""

    __tablename__ = "webhook_attempts"

    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    duration_ms: Mapped[int]
    status_code: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)


Index("ix_webhooks_owner_created", WebhookRow.owner_id, WebhookRow.created_at)
Index("ix_generations_owner_created", GenerationRow.owner_id, GenerationRow.created_at)
Index("ix_finetunes_owner_created", FinetuneRow.owner_id, FinetuneRow.created_at)
