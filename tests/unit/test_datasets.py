"""Datasets: imported whole or not at all, owned, captioned, hidden and snapshotted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from fluxsmith.config.settings import Settings
from fluxsmith.core.actor import LOCAL_OWNER, Actor
from fluxsmith.core.database import Database
from fluxsmith.core.snapshot import snapshot_hash
from fluxsmith.core.storage import StorageService
from fluxsmith.errors import ConflictError, NotFoundError, StorageError, ValidationError
from fluxsmith.samples import SAMPLE_TRIGGER_WORD
from fluxsmith.services.datasets import Dataset, DatasetService, Upload
from tests.broken import BROKEN_PICTURES, BROKEN_ZIPS, ODD_PICTURES, Broken, good_zip, noise, picture, zip_of
from tests.disks import small_disk

STRANGER = Actor(id="stranger", name="Somebody else")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/data/fluxsmith.db")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def datasets(db: Database, tmp_path: Path) -> DatasetService:
    return DatasetService(db, StorageService(tmp_path / "files"), Settings())


def make(datasets: DatasetService, *uploads: tuple[str, bytes | Path], name: str = "Mugs") -> Dataset:
    return datasets.create(LOCAL_OWNER, name, [Upload(*upload) for upload in uploads])


def stored_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


def test_pictures_captions_and_a_zip_become_one_dataset(datasets: DatasetService, tmp_path: Path) -> None:
    path = tmp_path / "upload.tmp"
    path.write_bytes(picture("JPEG", (40, 30)))
    made = make(
        datasets, ("b.jpg", path), ("a.png", picture()), ("a.txt", b"tok on white"), ("set.zip", good_zip(2))
    )
    assert [image.filename for image in made.images] == ["b.jpg", "a.png", "set/00.png", "set/01.png"]
    captions = [image.caption for image in made.images]
    assert captions == [None, "tok on white", "tok number 0", "tok number 1"]
    assert (made.images[0].width, made.images[0].height) == (40, 30)
    assert datasets.get(LOCAL_OWNER, made.id) == made
    for image in made.images:
        assert (tmp_path / "files" / image.storage_key).read_bytes().startswith(b"\x89PNG")


def test_a_dataset_is_named_and_listed_newest_first(datasets: DatasetService) -> None:
    first = make(datasets, ("a.png", picture()), name="  First ")
    second = make(datasets, ("a.png", picture()), name="Second")
    assert first.name == "First"
    assert datasets.list(LOCAL_OWNER) == [second, first]


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "line\nbreak", "x" * 201])
def test_a_name_that_cannot_be_shown_is_refused(datasets: DatasetService, name: str) -> None:
    with pytest.raises(ValidationError, match=r"^Name must") as caught:
        make(datasets, ("a.png", picture()), name=name)
    assert caught.value.field == "name"


@pytest.mark.parametrize("case", [*BROKEN_ZIPS, *BROKEN_PICTURES], ids=str)
def test_after_a_broken_upload_nothing_is_half_made_and_nothing_lost(
    datasets: DatasetService, tmp_path: Path, case: Broken
) -> None:
    before = make(datasets, ("a.png", picture(colour=(1, 2, 3))))
    files = stored_files(tmp_path)
    with pytest.raises(ValidationError) as caught:
        datasets.create(
            LOCAL_OWNER,
            "Broken",
            [Upload("good.png", picture()), Upload(case.filename, case.make())]
            if case in BROKEN_PICTURES
            else [Upload(case.filename, case.make())],
            max_pictures=20,
        )
    assert (caught.value.code, caught.value.message) == (case.code, case.message)
    assert datasets.list(LOCAL_OWNER) == [before]
    assert stored_files(tmp_path) == files
    assert [path.name for path in (tmp_path / "files/datasets").iterdir()] == [before.id]


def test_odd_pictures_are_taken_and_what_was_changed_is_noted(datasets: DatasetService) -> None:
    made = make(datasets, *((f"{n}-{case.filename}", case.make()) for n, case in enumerate(ODD_PICTURES)))
    assert [(image.width, image.height) for image in made.images] == [case.size for case in ODD_PICTURES]
    assert made.notes == ("0-a.webp: first of 2 frames taken", "1-a.png: first frame taken")


@pytest.mark.parametrize(
    ("uploads", "message"),
    [
        ([], "There is no picture in it; pictures must be JPG, PNG or WebP."),
        ([("a.txt", b"tok")], "There is no picture in it; pictures must be JPG, PNG or WebP."),
        (
            [("a.png", picture()), ("b.txt", b"tok")],
            "The caption file 'b.txt' has no picture of the same name.",
        ),
        ([("a.png", picture()), ("a.txt", b"\xff")], "The caption file 'a.txt' is not UTF-8 text"),
        ([("a.png", picture()), ("x/a.png", picture())], "2 files are called 'a.png'."),
        ([("a.png", picture()), ("a.zip", zip_of({"a.png": picture()}))], "2 files are called 'a.png'."),
        (
            [("a.zip", good_zip()), ("b.zip", good_zip())],
            "There are 2 zips; only one can be taken at a time.",
        ),
        ([("a\0.png", picture())], r"A file's name cannot be used: 'a\\x00.png'."),
        ([("a" * 300, picture())], "A file's name cannot be used: 'aaa"),
    ],
)
def test_uploads_that_make_no_set_are_refused(
    datasets: DatasetService, tmp_path: Path, uploads: list[tuple[str, bytes]], message: str
) -> None:
    with pytest.raises(ValidationError, match=f"^{message.replace('.', '[.]')}"):
        make(datasets, *uploads)
    assert datasets.list(LOCAL_OWNER) == [] and stored_files(tmp_path) == []


def test_more_pictures_than_allowed_are_refused(datasets: DatasetService) -> None:
    uploads = [Upload(f"{n}.png", picture()) for n in range(3)]
    with pytest.raises(ValidationError, match="There are 3 pictures; at most 2 are allowed"):
        datasets.create(LOCAL_OWNER, "Many", uploads, max_pictures=2)
    assert len(datasets.create(LOCAL_OWNER, "Many", uploads).images) == 3


def test_a_folder_in_an_uploads_name_and_a_macs_extras_are_left_out(datasets: DatasetService) -> None:
    made = make(datasets, ("C:\\fakepath\\a.png", picture()), ("x/.DS_Store", b"\0"), ("._a.png", b"\0"))
    assert [image.filename for image in made.images] == ["a.png"]


def test_a_file_too_large_to_be_a_picture_is_not_even_read(datasets: DatasetService, tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(70_000_000)
    with pytest.raises(ValidationError, match=r"^'a\.png' has 70\.0 MB; at most 67\.1 MB are read\."):
        make(datasets, ("a.png", path))


def test_a_disk_that_fills_in_the_middle_leaves_no_dataset(db: Database, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        datasets = DatasetService(db, StorageService(disk / "files"), Settings())
        before = make(datasets, ("a.png", picture()))
        with pytest.raises(StorageError, match="No space left for"):
            make(datasets, *((f"{n}.png", noise("PNG", (500 + n, 400))) for n in range(4)))
        assert datasets.list(LOCAL_OWNER) == [before]
        assert [path.name for path in disk.rglob("*.*")] == [f"{before.images[0].sha256}.png"]


def test_rows_that_cannot_be_written_leave_no_files(
    datasets: DatasetService, db: Database, tmp_path: Path
) -> None:
    with db.session() as session:
        session.execute(sa.text("DROP TABLE dataset_images"))
    with pytest.raises(sa.exc.OperationalError):
        make(datasets, ("a.png", picture()))
    assert stored_files(tmp_path) == []


def test_two_at_once_get_the_same_sample_set(datasets: DatasetService, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(datasets.sample, [LOCAL_OWNER] * 4))
    assert len({dataset.id for dataset in made}) == 1
    assert len(datasets.list(LOCAL_OWNER)) == 1 and len(stored_files(tmp_path)) == 10


def test_the_same_picture_twice_is_stored_once(datasets: DatasetService, tmp_path: Path) -> None:
    made = make(datasets, ("a.png", picture()), ("b.png", picture()))
    assert len(made.images) == 2 and len(stored_files(tmp_path)) == 1


def test_a_caption_is_changed_and_removed(datasets: DatasetService) -> None:
    made = make(datasets, ("a.png", picture()))
    image = datasets.set_caption(LOCAL_OWNER, made.id, made.images[0].id, "  tok 🦊 on white ")
    assert image.caption == "tok 🦊 on white"
    assert datasets.get(LOCAL_OWNER, made.id).images == (image,)
    assert datasets.set_caption(LOCAL_OWNER, made.id, image.id, " ").caption is None


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("x" * 2_001, "Caption must have at most 2,000 characters, not 2,001."),
        ("a\0b", "Caption must not contain NUL characters."),
    ],
)
def test_a_caption_outside_the_rules_is_refused(datasets: DatasetService, caption: str, message: str) -> None:
    made = make(datasets, ("a.png", picture()), ("a.txt", b"tok"))
    with pytest.raises(ValidationError) as caught:
        datasets.set_caption(LOCAL_OWNER, made.id, made.images[0].id, caption)
    assert (caught.value.message, caught.value.field) == (message, "caption")
    assert datasets.get(LOCAL_OWNER, made.id) == made


def test_a_snapshot_is_not_moved_by_what_happens_later(datasets: DatasetService, tmp_path: Path) -> None:
    made = make(datasets, ("a.png", picture()), ("a.txt", b"before"))
    snapshot = datasets.snapshot(LOCAL_OWNER, made.id)
    datasets.set_caption(LOCAL_OWNER, made.id, made.images[0].id, "after")
    assert [item.caption for item in snapshot] == ["before"]
    assert snapshot_hash(snapshot) != snapshot_hash(datasets.snapshot(LOCAL_OWNER, made.id))
    datasets.delete(LOCAL_OWNER, made.id)
    assert (tmp_path / "files" / snapshot[0].storage_key).exists()


def test_a_deleted_dataset_is_hidden_and_can_be_brought_back(datasets: DatasetService) -> None:
    made = make(datasets, ("a.png", picture()))
    assert datasets.delete(LOCAL_OWNER, made.id) == made
    assert datasets.list(LOCAL_OWNER) == []
    with pytest.raises(NotFoundError, match="There is no dataset"):
        datasets.delete(LOCAL_OWNER, made.id)
    assert datasets.restore(LOCAL_OWNER, made.id) == made
    assert datasets.list(LOCAL_OWNER) == [made]


def test_a_stranger_finds_nothing_and_changes_nothing(datasets: DatasetService) -> None:
    made = make(datasets, ("a.png", picture()))
    image_id = made.images[0].id
    for attempt in (
        lambda: datasets.get(STRANGER, made.id),
        lambda: datasets.snapshot(STRANGER, made.id),
        lambda: datasets.set_caption(STRANGER, made.id, image_id, "mine"),
        lambda: datasets.thumbnail(STRANGER, made.id, image_id),
        lambda: datasets.delete(STRANGER, made.id),
        lambda: datasets.restore(STRANGER, made.id),
    ):
        with pytest.raises(NotFoundError) as caught:
            attempt()
        assert caught.value.code == "dataset-not-found"
    assert datasets.list(STRANGER) == []
    assert datasets.get(LOCAL_OWNER, made.id) == made


def test_a_picture_is_only_found_in_its_own_dataset(datasets: DatasetService) -> None:
    one, other = make(datasets, ("a.png", picture())), make(datasets, ("a.png", picture()))
    with pytest.raises(NotFoundError, match="There is no picture"):
        datasets.thumbnail(LOCAL_OWNER, one.id, other.images[0].id)


def test_a_thumbnail_is_small_and_tells_when_its_picture_is_gone(
    datasets: DatasetService, tmp_path: Path
) -> None:
    made = make(datasets, ("a.jpg", picture("JPEG", (900, 600))))
    small = datasets.thumbnail(LOCAL_OWNER, made.id, made.images[0].id)
    assert small[8:12] == b"WEBP" and len(small) < 5_000
    (tmp_path / "files" / made.images[0].storage_key).unlink()
    with pytest.raises(StorageError, match="is missing"):
        datasets.thumbnail(LOCAL_OWNER, made.id, made.images[0].id)


def test_the_sample_set_is_made_once_for_each_owner(datasets: DatasetService, tmp_path: Path) -> None:
    made = datasets.sample(LOCAL_OWNER)
    assert len(made.images) == 10
    for image in made.images:
        assert (image.width, image.height) == (256, 256)
        assert image.caption is not None and SAMPLE_TRIGGER_WORD in image.caption.split()
    assert datasets.sample(LOCAL_OWNER) == made
    assert datasets.list(LOCAL_OWNER) == [made]
    assert datasets.sample(STRANGER).id != made.id
    assert len(stored_files(tmp_path)) == 20


def test_a_deleted_sample_set_comes_back_when_asked_for(datasets: DatasetService) -> None:
    made = datasets.sample(LOCAL_OWNER)
    datasets.delete(LOCAL_OWNER, made.id)
    assert datasets.sample(LOCAL_OWNER) == made


def test_a_picture_is_left_out_and_brought_back_to_its_place(datasets: DatasetService) -> None:
    made = make(datasets, ("a.png", noise()), ("b.png", picture()), ("c.png", picture(size=(90, 90))))
    first, second, third = made.images
    before = datasets.snapshot(LOCAL_OWNER, made.id)

    assert datasets.leave_out(LOCAL_OWNER, made.id, second.id).images == (first, third)
    assert datasets.leave_out(LOCAL_OWNER, made.id, second.id).images == (first, third), "twice is once"
    assert [item.filename for item in datasets.snapshot(LOCAL_OWNER, made.id)] == ["a.png", "c.png"]
    assert len(before) == 3, "a snapshot does not change"
    assert datasets.bring_back(LOCAL_OWNER, made.id, second.id) == datasets.get(LOCAL_OWNER, made.id)
    assert datasets.get(LOCAL_OWNER, made.id).images == made.images

    datasets.leave_out(LOCAL_OWNER, made.id, first.id)
    datasets.leave_out(LOCAL_OWNER, made.id, second.id)
    with pytest.raises(ConflictError, match="last picture"):
        datasets.leave_out(LOCAL_OWNER, made.id, third.id)
    for act in (datasets.leave_out, datasets.bring_back):
        with pytest.raises(NotFoundError):
            act(STRANGER, made.id, third.id)
