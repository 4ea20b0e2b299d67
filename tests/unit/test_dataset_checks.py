"""Verdicts on sets of pictures: each check with pictures that must trip it and pictures that must not."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFilter

from fluxsmith.config.settings import Settings
from fluxsmith.core.actor import LOCAL_OWNER, Actor
from fluxsmith.core.database import Database
from fluxsmith.core.storage import StorageService
from fluxsmith.core.verdict import Verdict
from fluxsmith.errors import NotFoundError
from fluxsmith.services.datasets import DatasetService, Upload

Picture = Image.Image


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/data/fluxsmith.db")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def check(db: Database, tmp_path: Path) -> Callable[..., list[Verdict]]:
    """Verdicts on pictures (and captions) that are imported as a person imports them."""

    def verdicts(
        *pictures: Picture, captions: tuple[str | None, ...] = (), side: int = 256, **settings: float
    ) -> list[Verdict]:
        datasets = DatasetService(db, StorageService(tmp_path / "files"), Settings.model_validate(settings))
        uploads = [Upload(f"{n:02}.png", encoded(picture)) for n, picture in enumerate(pictures)]
        words = [Upload(f"{n:02}.txt", text.encode()) for n, text in enumerate(captions) if text]
        made = datasets.create(LOCAL_OWNER, "set", [*uploads, *words])
        found = datasets.check(LOCAL_OWNER, made.id, side)
        names = {image.id: image.filename[:2] for image in made.images}
        return [one.model_copy(update={"image_ids": tuple(names[i] for i in one.image_ids)}) for one in found]

    return verdicts


def encoded(picture: Picture, kind: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def scene(seed: int, size: tuple[int, int] = (320, 320)) -> Picture:
    """A picture with sharp shapes in many colours up to its border, unlike that of another seed."""
    rng = random.Random(seed)
    picture = Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(picture)
    for _ in range(60):
        x, y = rng.randrange(-40, size[0]), rng.randrange(-40, size[1])
        box = (x, y, x + rng.randrange(20, 120), y + rng.randrange(20, 120))
        colour = tuple(rng.randrange(256) for _ in range(3))
        rng.choice((pen.rectangle, pen.ellipse))(box, fill=colour)
    return picture


GOOD = [scene(seed) for seed in range(6)]


def codes(verdicts: list[Verdict]) -> dict[str, tuple[str, ...]]:
    return {verdict.code: verdict.image_ids for verdict in verdicts}


def test_a_good_set_is_not_remarked_upon(check: Callable[..., list[Verdict]]) -> None:
    assert check(*GOOD) == []


def dark(picture: Picture) -> Picture:
    return picture.point(lambda value: value // 6)


def pale(picture: Picture) -> Picture:
    return picture.point(lambda value: 190 + value // 4)


def compressed(picture: Picture) -> Picture:
    return Image.open(io.BytesIO(encoded(picture, "JPEG", quality=6))).convert("RGB")


def with_bars(picture: Picture) -> Picture:
    framed = Image.new("RGB", picture.size, "black")
    framed.paste(picture.crop((0, 40, picture.width, picture.height - 40)), (0, 40))
    return framed


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ("too-small", scene(9, (150, 150))),
        ("blurred", scene(9).filter(ImageFilter.GaussianBlur(5))),
        ("too-dark", dark(scene(9))),
        ("washed-out", pale(scene(9))),
        ("compressed", compressed(scene(9))),
        ("letterboxed", with_bars(scene(9))),
        ("letterboxed", with_bars(scene(9)).rotate(90)),
        ("cut-off", scene(9, (700, 320))),
    ],
)
def test_a_bad_picture_is_named_and_no_other(
    check: Callable[..., list[Verdict]], code: str, bad: Picture
) -> None:
    verdicts = check(*GOOD, bad)
    assert codes(verdicts) == {code: ("06",)}
    assert verdicts[0].message.startswith("1 picture")
    assert verdicts[0].hint


def test_a_thing_on_white_is_neither_washed_out_nor_blurred(check: Callable[..., list[Verdict]]) -> None:
    product = Image.new("RGB", (400, 400), "white")
    ImageDraw.Draw(product).ellipse((150, 120, 260, 280), fill=(200, 190, 180))
    assert codes(check(*GOOD, product)) == {}


def test_a_night_picture_without_bars_is_not_letterboxed(check: Callable[..., list[Verdict]]) -> None:
    night = Image.new("RGB", (320, 320), "black")
    night.paste(scene(9, (320, 200)), (0, 120))
    assert codes(check(*GOOD, night)) == {}


def test_near_duplicates_are_grouped(check: Callable[..., list[Verdict]]) -> None:
    smaller = GOOD[0].resize((280, 280))
    again = Image.open(io.BytesIO(encoded(GOOD[0], "JPEG", quality=60))).convert("RGB")
    other = GOOD[1].resize((300, 300))
    verdicts = check(*GOOD, smaller, again, other)
    assert [(one.code, set(one.image_ids)) for one in verdicts] == [
        ("near-duplicates", {"00", "06", "07"}),
        ("near-duplicates", {"01", "08"}),
    ]
    assert "3 pictures look nearly the same" in verdicts[0].message


def test_too_few_and_too_many_are_counted(check: Callable[..., list[Verdict]]) -> None:
    assert codes(check(GOOD[0])) == {"too-few-pictures": ()}
    assert codes(check(*GOOD, check_max_pictures=5)) == {"too-many-pictures": ()}


def test_one_background_everywhere_is_told_and_two_are_not(check: Callable[..., list[Verdict]]) -> None:
    def on(colour: str, number: int) -> Picture:
        picture = Image.new("RGB", (320, 320), colour)
        picture.paste(GOOD[number].crop((0, 0, 160, 160)), (80, 80))
        return picture

    assert codes(check(*(on("white", n) for n in range(6)))) == {"one-background": ()}
    assert codes(check(*(on("white", n) for n in range(5)), on("teal", 5))) == {}


def test_captions_that_teach_nothing_are_told(check: Callable[..., list[Verdict]]) -> None:
    assert codes(check(*GOOD, captions=("a tok",) * 6)) == {"captions-identical": ()}
    some = ("tok on wood", None, "tok in rain", "tok held", "tok above", "tok asleep")
    assert codes(check(*GOOD, captions=some)) == {"captions-missing": ("01",)}
    assert check(*GOOD, captions=tuple(f"tok, view {n}" for n in range(6))) == []


def test_every_threshold_is_a_setting(check: Callable[..., list[Verdict]]) -> None:
    strict = {
        "check_min_scale": 2,
        "check_min_sharpness": 4,
        "check_min_bright": 255,
        "check_max_dark": 0,
        "check_max_cut": 0.1,
        "check_same_share": 0.5,
    }
    wide = [scene(seed, (320, 260)) for seed in range(6)]
    assert {"too-small", "blurred", "too-dark", "washed-out", "cut-off", "near-duplicates"} <= set(
        codes(check(*wide, **strict))
    )


def test_a_stranger_gets_no_verdicts(db: Database, tmp_path: Path) -> None:
    datasets = DatasetService(db, StorageService(tmp_path / "files"), Settings())
    made = datasets.create(LOCAL_OWNER, "set", [Upload("a.png", encoded(GOOD[0]))])
    with pytest.raises(NotFoundError):
        datasets.check(Actor(id="stranger", name="Somebody else"), made.id, 256)
