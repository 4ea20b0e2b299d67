"""SQL of the generations table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxsmith.core.tables import GenerationRow
from fluxsmith.services.inference.schema import GenerationRequest, UsedPicture


def insert(
    session: Session,
    generation_id: str,
    owner_id: str,
    provider: str,
    request: GenerationRequest,
    pictures: Sequence[UsedPicture],
) -> GenerationRow:
    """Write a new generation; the pictures that it follows are in storage, not in the row."""
    row = GenerationRow(
        id=generation_id,
        owner_id=owner_id,
        provider=provider,
        model_id=request.model,
        request=request.model_dump(mode="json", exclude={"pictures", "expand", "size_from_picture"}),
        pictures=[picture.model_dump() for picture in pictures],
        outputs=[],
        created_at=datetime.now(UTC),
    )
    session.add(row)
    session.flush()
    return row


def find(session: Session, generation_id: str) -> GenerationRow | None:
    """The row of that id, deleted or not."""
    return session.get(GenerationRow, generation_id)


def of_owner(session: Session, owner_id: str, limit: int) -> list[GenerationRow]:
    """Generations of an owner that are not deleted, newest first."""
    query = (
        select(GenerationRow)
        .where(GenerationRow.owner_id == owner_id, GenerationRow.deleted_at.is_(None))
        .order_by(GenerationRow.created_at.desc())
        .limit(limit)
    )
    return list(session.scalars(query))


def set_outputs(session: Session, generation_id: str, outputs: list[Any]) -> None:
    """Keep what was drawn."""
    row = session.get_one(GenerationRow, generation_id)
    row.outputs = outputs
    session.flush()
