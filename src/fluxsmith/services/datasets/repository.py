"""SQL of the datasets and their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxsmith.core.tables import DatasetImageRow, DatasetRow
from fluxsmith.services.datasets.schema import Dataset, DatasetImage


def insert(
    session: Session, dataset_id: str, owner_id: str, name: str, images: Iterable[DatasetImage]
) -> DatasetRow:
    """Write a dataset with its pictures in their order."""
    row = DatasetRow(id=dataset_id, owner_id=owner_id, name=name, created_at=datetime.now(UTC))
    session.add(row)
    session.flush()
    for position, image in enumerate(images):
        session.add(DatasetImageRow(dataset_id=dataset_id, position=position, **image.model_dump()))
    session.flush()
    return row


def find(session: Session, dataset_id: str) -> DatasetRow | None:
    """The row of that id, deleted or not."""
    return session.get(DatasetRow, dataset_id)


def of_owner(session: Session, owner_id: str) -> list[DatasetRow]:
    """Datasets of an owner that are not deleted, newest first."""
    query = (
        select(DatasetRow)
        .where(DatasetRow.owner_id == owner_id, DatasetRow.deleted_at.is_(None))
        .order_by(DatasetRow.created_at.desc())
    )
    return list(session.scalars(query))


def find_image(session: Session, dataset_id: str, image_id: str) -> DatasetImageRow | None:
    """One picture, if it is in that dataset."""
    row = session.get(DatasetImageRow, image_id)
    return row if row is not None and row.dataset_id == dataset_id else None


def with_images(session: Session, rows: Sequence[DatasetRow]) -> list[Dataset]:
    """The datasets as services hand them out, their pictures fetched in one query."""
    images: dict[str, list[DatasetImage]] = {row.id: [] for row in rows}
    query = (
        select(DatasetImageRow)
        .where(DatasetImageRow.dataset_id.in_(images), DatasetImageRow.left_out_at.is_(None))
        .order_by(DatasetImageRow.dataset_id, DatasetImageRow.position)
    )
    for image in session.scalars(query):
        images[image.dataset_id].append(as_image(image))
    return [
        Dataset(id=row.id, name=row.name, created_at=row.created_at, images=tuple(images[row.id]))
        for row in rows
    ]


def as_image(row: DatasetImageRow) -> DatasetImage:
    """A picture as services hand it out."""
    return DatasetImage(
        id=row.id,
        filename=row.filename,
        storage_key=row.storage_key,
        sha256=row.sha256,
        width=row.width,
        height=row.height,
        caption=row.caption,
    )
