"""SQL of the finetunes table, and of the model row that a finetune ends in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxsmith.core.storage import StoredFile
from fluxsmith.core.tables import FinetuneRow, ModelRow
from fluxsmith.services.finetuning.schema import FinetuneRequest


def insert(
    session: Session,
    finetune_id: str,
    owner_id: str,
    provider: str,
    request: FinetuneRequest,
    snapshot: list[Any],
    facts: dict[str, Any],
) -> FinetuneRow:
    """Write a new finetune with the snapshot of its pictures."""
    row = FinetuneRow(
        id=finetune_id,
        owner_id=owner_id,
        provider=provider,
        name=request.name,
        base_model=request.base_model,
        trigger_word=request.trigger_word,
        mode=request.mode,
        captioning=request.captioning,
        parameters=request.parameters.model_dump(mode="json"),
        dataset_id=request.dataset_id,
        snapshot=snapshot,
        facts=facts,
        created_at=datetime.now(UTC),
    )
    session.add(row)
    session.flush()
    return row


def find(session: Session, finetune_id: str) -> FinetuneRow | None:
    """The row of that id, deleted or not."""
    return session.get(FinetuneRow, finetune_id)


def of_owner(session: Session, owner_id: str) -> list[FinetuneRow]:
    """Finetunes of an owner that are not deleted, newest first."""
    query = (
        select(FinetuneRow)
        .where(FinetuneRow.owner_id == owner_id, FinetuneRow.deleted_at.is_(None))
        .order_by(FinetuneRow.created_at.desc())
    )
    return list(session.scalars(query))


def add_model(
    session: Session,
    finetune: FinetuneRow,
    file: StoredFile | None,
    remote_id: str | None,
    facts: dict[str, Any],
) -> None:
    """Write the model that the finetune made, as a file here or with its provider, and the run's facts."""
    finetune.facts = {**finetune.facts, **facts}
    session.add(
        ModelRow(
            id=finetune.id,
            owner_id=finetune.owner_id,
            name=finetune.name,
            base_model=finetune.base_model,
            trigger_word=finetune.trigger_word,
            storage_key=file.key if file else "",
            sha256=file.sha256 if file else "",
            size_bytes=file.size_bytes if file else 0,
            remote_id=remote_id,
            created_at=datetime.now(UTC),
        )
    )
    session.flush()


def mark_deleted(session: Session, finetune: FinetuneRow) -> None:
    """Hide a finetune and its model."""
    now = datetime.now(UTC)
    finetune.deleted_at = now
    model = session.get(ModelRow, finetune.id)
    if model is not None and model.deleted_at is None:
        model.deleted_at = now
    session.flush()
