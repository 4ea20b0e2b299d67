"""SQL of the generations table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxsmith.core.job_rows import job_of
from fluxsmith.core.job_schema import Job
from fluxsmith.core.tables import GenerationRow, JobRow
from fluxsmith.services.inference.schema import GenerationRequest, UsedPicture

MOST_CANDIDATES = 50  # whoever draws one seed with many prompts is served by the newest of them
# In one statement, so that a job which tells to be done is never without its pictures.
_WITH_JOBS = select(GenerationRow, JobRow).join(JobRow, JobRow.id == GenerationRow.id)


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


def find_with_job(session: Session, generation_id: str) -> tuple[GenerationRow, Job] | None:
    """The row of that id, deleted or not, and its job as it was at that moment."""
    found = session.execute(_WITH_JOBS.where(GenerationRow.id == generation_id)).one_or_none()
    return None if found is None else (found[0], job_of(found[1]))


def of_owner(session: Session, owner_id: str, limit: int) -> list[tuple[GenerationRow, Job]]:
    """Generations of an owner that are not deleted, newest first, and their jobs at that moment."""
    query = (
        _WITH_JOBS.where(GenerationRow.owner_id == owner_id, GenerationRow.deleted_at.is_(None))
        .order_by(GenerationRow.created_at.desc())
        .limit(limit)
    )
    return [(row, job_of(job)) for row, job in session.execute(query)]


def done_with_seed(session: Session, like: GenerationRow, seed: int) -> list[GenerationRow]:
    """Finished generations of the same owner, provider, model and seed, newest first; not `like` itself."""
    query = (
        select(GenerationRow)
        .join(JobRow, JobRow.id == GenerationRow.id)
        .where(
            GenerationRow.owner_id == like.owner_id,
            GenerationRow.provider == like.provider,
            GenerationRow.model_id == like.model_id,
            GenerationRow.id != like.id,
            GenerationRow.deleted_at.is_(None),
            GenerationRow.request["seed"].as_numeric(12, 0) == seed,
            JobRow.state == "done",
        )
        .order_by(GenerationRow.created_at.desc())
        .limit(MOST_CANDIDATES)
    )
    return list(session.scalars(query))


def reused_pictures(session: Session) -> int:
    """How many pictures of all owners were taken from the store instead of being paid for again."""
    query = select(func.sum(func.json_array_length(GenerationRow.outputs))).where(
        GenerationRow.outputs[(0, "reused_from")].as_string().is_not(None)
    )
    return int(session.scalar(query) or 0)


def set_outputs(session: Session, generation_id: str, outputs: list[Any]) -> None:
    """Keep what was drawn."""
    row = session.get_one(GenerationRow, generation_id)
    row.outputs = outputs
    session.flush()
