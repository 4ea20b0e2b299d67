"""SQL of the models table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxsmith.core.storage import StoredFile
from fluxsmith.core.tables import FinetuneRow, JobRow, ModelRow
from fluxsmith.services.models.schema import ImportRequest, LinkRequest


def find(session: Session, model_id: str) -> ModelRow | None:
    """The row of that id, deleted or not."""
    return session.get(ModelRow, model_id)


def of_owner(session: Session, owner_id: str) -> list[ModelRow]:
    """Models of an owner that are not deleted, newest first."""
    query = (
        select(ModelRow)
        .where(ModelRow.owner_id == owner_id, ModelRow.deleted_at.is_(None))
        .order_by(ModelRow.created_at.desc())
    )
    return list(session.scalars(query))


def named(session: Session, owner_id: str, name: str) -> list[ModelRow]:
    """Models of an owner that are called so and are not deleted."""
    query = select(ModelRow).where(
        ModelRow.owner_id == owner_id, ModelRow.name == name, ModelRow.deleted_at.is_(None)
    )
    return list(session.scalars(query))


def trained_here(session: Session, model_ids: Sequence[str]) -> set[str]:
    """Those of some models that a finetune made."""
    return set(session.scalars(select(FinetuneRow.id).where(FinetuneRow.id.in_(model_ids))))


def finetune_state(session: Session, model_id: str, owner_id: str) -> str | None:
    """State of the job that makes or made this model; None where there is no such job."""
    query = select(JobRow.state).where(
        JobRow.id == model_id, JobRow.owner_id == owner_id, JobRow.kind == "finetune"
    )
    return session.scalar(query)


def insert_link(session: Session, model_id: str, owner_id: str, request: LinkRequest) -> ModelRow:
    """Write a model whose LoRA a provider keeps."""
    row = ModelRow(
        id=model_id,
        owner_id=owner_id,
        name=request.name,
        base_model=request.base_model,
        trigger_word=request.trigger_word,
        storage_key="",
        sha256="",
        size_bytes=0,
        remote_id=request.remote_id,
        created_at=datetime.now(UTC),
    )
    session.add(row)
    session.flush()
    return row


def insert_import(
    session: Session, model_id: str, owner_id: str, request: ImportRequest, file: StoredFile
) -> ModelRow:
    """Write a model whose LoRA was uploaded."""
    row = ModelRow(
        id=model_id,
        owner_id=owner_id,
        name=request.name,
        base_model=request.base_model,
        trigger_word=request.trigger_word,
        storage_key=file.key,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        remote_id=None,
        created_at=datetime.now(UTC),
    )
    session.add(row)
    session.flush()
    return row


def mark_deleted(session: Session, row: ModelRow, now: datetime) -> None:
    """Hide the model; its file stays until it is purged."""
    row.deleted_at = now
    session.flush()
