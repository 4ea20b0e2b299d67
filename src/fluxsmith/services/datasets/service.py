"""Imports pictures, keeps their captions, and hands out snapshots to train on."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from fluxsmith.config.settings import Settings
from fluxsmith.core.actor import Actor
from fluxsmith.core.database import Database
from fluxsmith.core.images import read_picture, thumbnail
from fluxsmith.core.picture_measures import PictureMeasures, measure_picture
from fluxsmith.core.snapshot import SnapshotItem
from fluxsmith.core.storage import StorageService
from fluxsmith.core.tables import DatasetImageRow, DatasetRow
from fluxsmith.core.validation import ValidationService
from fluxsmith.core.verdict import Verdict
from fluxsmith.errors import ConflictError, FluxsmithError, NotFoundError
from fluxsmith.samples import SAMPLE_NAME, sample_files
from fluxsmith.services.datasets import repository
from fluxsmith.services.datasets.checks import Seen, judge
from fluxsmith.services.datasets.intake import Candidate, sort_uploads
from fluxsmith.services.datasets.schema import Caption, Dataset, DatasetImage, DatasetName, Upload

MAX_PICTURES = 200  # of one dataset made in the studio; BFL's API asks for 20
THUMBNAIL_SIDE_PX = 256
KEPT_MEASURES = 4096
"""Pictures whose measures are remembered; a picture's content never changes."""


class DatasetService:
    """Datasets of all owners; each method lets an actor at his own only."""

    def __init__(self, db: Database, storage: StorageService, settings: Settings) -> None:
        self._db = db
        self._storage = storage
        self._settings = settings
        self._measure = functools.lru_cache(maxsize=KEPT_MEASURES)(self._measured)
        self._validation = ValidationService()

    def create(
        self, actor: Actor, name: str, uploads: Sequence[Upload], *, max_pictures: int = MAX_PICTURES
    ) -> Dataset:
        """Import pictures, captions and at most one zip as a new dataset: all of it, or nothing.

        Raises:
            ValidationError: a file cannot be used; the message names it.
            StorageError: the disk refused.
        """
        name = self._validation.parse(DatasetName, {"name": name}).name
        candidates = sort_uploads(uploads, max_pictures)
        return self._import(actor, str(uuid.uuid4()), name, candidates)

    def sample(self, actor: Actor) -> Dataset:
        """The set that ships with fluxsmith: made at the first call, found (or brought back) later."""
        dataset_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"fluxsmith:sample:{actor.id}"))
        with self._db.session() as session:
            row = repository.find(session, dataset_id)
            if row is not None:
                row.deleted_at = None
                return repository.with_images(session, [row])[0]
        uploads = [Upload(filename, data) for filename, data in sample_files()]
        try:
            return self._import(actor, dataset_id, SAMPLE_NAME, sort_uploads(uploads, MAX_PICTURES))
        except IntegrityError:  # somebody else with the same identity has just made it
            return self.get(actor, dataset_id)

    def get(self, actor: Actor, dataset_id: str) -> Dataset:
        """One dataset.

        Raises:
            NotFoundError: there is none, it is not the actor's, or it was deleted.
        """
        with self._db.reading() as session:
            return repository.with_images(session, [_owned(session, actor, dataset_id)])[0]

    def list(self, actor: Actor) -> list[Dataset]:
        """The actor's datasets, newest first."""
        with self._db.reading() as session:
            return repository.with_images(session, repository.of_owner(session, actor.id))

    def set_caption(self, actor: Actor, dataset_id: str, image_id: str, caption: str | None) -> DatasetImage:
        """Change the words of one picture; blank removes them.

        Raises:
            NotFoundError: the dataset or the picture does not exist for the actor.
            ValidationError: the caption is too long or holds NUL.
        """
        text = self._validation.parse(Caption, {"caption": caption}).caption
        with self._db.session() as session:
            row = _owned_image(session, actor, dataset_id, image_id)
            row.caption = text
            return repository.as_image(row)

    def leave_out(self, actor: Actor, dataset_id: str, image_id: str) -> Dataset:
        """Take one picture out of a dataset; its file stays, for earlier finetunes and for `bring_back`.

        Raises:
            NotFoundError: the dataset or the picture does not exist for the actor.
            ConflictError: it is the last one.
        """
        with self._db.session() as session:
            row = _owned_image(session, actor, dataset_id, image_id)
            dataset_row = _owned(session, actor, dataset_id)
            [before] = repository.with_images(session, [dataset_row])
            if [image.id for image in before.images] == [image_id]:
                raise ConflictError(
                    "last-picture",
                    "This is the last picture of the set.",
                    hint="Delete the dataset instead, or import others.",
                )
            row.left_out_at = row.left_out_at or datetime.now(UTC)
            session.flush()
            return repository.with_images(session, [dataset_row])[0]

    def bring_back(self, actor: Actor, dataset_id: str, image_id: str) -> Dataset:
        """Undo `leave_out`: the picture returns to its place.

        Raises:
            NotFoundError: the dataset or the picture does not exist for the actor.
        """
        with self._db.session() as session:
            _owned_image(session, actor, dataset_id, image_id).left_out_at = None
            session.flush()
            return repository.with_images(session, [_owned(session, actor, dataset_id)])[0]

    def delete(self, actor: Actor, dataset_id: str) -> Dataset:
        """Hide a dataset; its files stay, for finetunes that were made of it and for `restore`.

        Raises:
            NotFoundError: there is none, it is not the actor's, or it was deleted before.
        """
        with self._db.session() as session:
            row = _owned(session, actor, dataset_id)
            row.deleted_at = datetime.now(UTC)
            return repository.with_images(session, [row])[0]

    def restore(self, actor: Actor, dataset_id: str) -> Dataset:
        """Bring a deleted dataset back; one that is there stays as it is.

        Raises:
            NotFoundError: there never was one, or it is not the actor's.
        """
        with self._db.session() as session:
            row = _owned(session, actor, dataset_id, deleted_too=True)
            row.deleted_at = None
            return repository.with_images(session, [row])[0]

    def snapshot(self, actor: Actor, dataset_id: str) -> tuple[SnapshotItem, ...]:
        """The pictures and captions as they are now, unmoved by later changes.

        Raises:
            NotFoundError: the dataset does not exist for the actor.
        """
        return tuple(
            SnapshotItem(
                storage_key=image.storage_key,
                sha256=image.sha256,
                filename=image.filename,
                caption=image.caption,
            )
            for image in self.get(actor, dataset_id).images
        )

    def check(self, actor: Actor, dataset_id: str, side: int) -> Sequence[Verdict]:
        """What in a dataset would harm a LoRA that is trained on it.

        Args:
            actor: who asks.
            dataset_id: which one.
            side: of the square pictures that the model is trained at, in pixels.

        Raises:
            NotFoundError: the dataset does not exist for the actor.
            StorageError: a picture's file is missing or damaged.
        """
        images = self.get(actor, dataset_id).images
        seen = [Seen(image, self._measure(image.storage_key, image.sha256)) for image in images]
        return judge(seen, side, self._settings)

    def thumbnail(
        self, actor: Actor, dataset_id: str, image_id: str, *, side: int = THUMBNAIL_SIDE_PX
    ) -> bytes:
        """A small WebP of one picture.

        Raises:
            NotFoundError: the dataset or the picture does not exist for the actor.
            StorageError: the picture's file is missing or damaged.
        """
        with self._db.reading() as session:
            row = _owned_image(session, actor, dataset_id, image_id)
            key, sha256 = row.storage_key, row.sha256
        return thumbnail(self._storage.get(key, sha256=sha256), side)

    def _measured(self, storage_key: str, sha256: str) -> PictureMeasures:
        return measure_picture(self._storage.get(storage_key, sha256=sha256))

    def _import(self, actor: Actor, dataset_id: str, name: str, candidates: Sequence[Candidate]) -> Dataset:
        """Files first, then all rows in one commit; without the rows, no files."""
        try:
            imported = [self._store(dataset_id, candidate) for candidate in candidates]
            images = [image for image, _ in imported]
            with self._db.session() as session:
                row = repository.insert(session, dataset_id, actor.id, name, images)
                dataset = repository.with_images(session, [row])[0]
        except BaseException:
            self._discard(actor, dataset_id)
            raise
        notes = tuple(f"{image.filename}: {note}" for image, notes in imported for note in notes)
        return dataset.model_copy(update={"notes": notes})

    def _store(self, dataset_id: str, candidate: Candidate) -> tuple[DatasetImage, tuple[str, ...]]:
        picture = read_picture(candidate.read(), candidate.filename)
        key = f"datasets/{dataset_id}/{picture.sha256}.png"
        self._storage.put(key, picture.png, sha256=picture.sha256)
        image = DatasetImage(
            id=str(uuid.uuid4()),
            filename=candidate.filename,
            storage_key=key,
            sha256=picture.sha256,
            width=picture.width,
            height=picture.height,
            caption=candidate.caption,
        )
        return image, picture.notes

    def _discard(self, actor: Actor, dataset_id: str) -> None:
        """Remove the files of an import that failed, unless another import of the same set succeeded.

        As well as can be: what made the import fail is the error to tell.
        """
        with contextlib.suppress(FluxsmithError):
            with self._db.reading() as session:
                if repository.find(session, dataset_id) is not None:
                    return
            self._storage.delete_prefix(f"datasets/{dataset_id}")


def _owned(session: Session, actor: Actor, dataset_id: str, *, deleted_too: bool = False) -> DatasetRow:
    row = repository.find(session, dataset_id)
    if row is None or row.owner_id != actor.id or (row.deleted_at is not None and not deleted_too):
        raise NotFoundError(
            "dataset-not-found",
            f"There is no dataset {dataset_id[:80]!r}.",
            hint="List the datasets to see the ids that can be used.",
            field="dataset_id",
        )
    return row


def _owned_image(session: Session, actor: Actor, dataset_id: str, image_id: str) -> DatasetImageRow:
    _owned(session, actor, dataset_id)
    row = repository.find_image(session, dataset_id, image_id)
    if row is None:
        raise NotFoundError(
            "picture-not-found", f"There is no picture {image_id[:80]!r} in this dataset.", field="image_id"
        )
    return row
