"""Pictures sent to BFL: the bodies that arrive, what is refused before anything is paid, and sent once."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from fluxsmith.core.database import Database
from fluxsmith.core.fill_pictures import Margins, expanded
from fluxsmith.core.tables import CloudTaskRow
from fluxsmith.errors import APIError, StorageError, UnsupportedError, ValidationError
from fluxsmith.providers.base import Control, Fill, Followed, GenerationTask, RemoteLora
from fluxsmith.providers.bfl import BflProvider
from fluxsmith.providers.bfl_catalogue import OFFERS
from fluxsmith.providers.bfl_pictures import MOST_BYTES
from tests import fake_bfl
from tests.clocks import SkippingClock
from tests.clouds import KLEIN, Told, drawing, provider_at, running_job
from tests.fake_bfl import FakeBfl, accepts, image, pending, ready, says, sends
from tests.harness import picture

SUBMIT, POLL, PICTURE = "/v1/flux-2-klein-4b", "/v1/get_result", "/pictures/1"
KINDS = ("flux-2-pro", "flux-kontext-max", "flux-pro-1.1", "flux-pro-1.1-ultra", "flux-dev")
TOOLS = ("flux-pro-1.0-fill", "flux-pro-1.0-expand", "flux-pro-1.0-canny", "flux-pro-1.0-depth")
MUG = RemoteLora("my-mug", 1.2)


@pytest.fixture
def fake(fake: FakeBfl) -> FakeBfl:
    """The fake, with a script in which all goes well."""
    for path in (*KINDS, *TOOLS, "flux-pro", "flux-2-klein-4b"):
        fake.script(f"/v1/{path}", accepts())
        fake.script(f"/v1/{path}-finetuned", accepts())
    fake.script(POLL, ready())
    fake.script(PICTURE, sends(image(), "image/png"))
    return fake


class Album:
    """Different pictures as files, made when they are first named."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, number: int) -> Path:
        path = self._folder / f"{number}.png"
        if not path.exists():
            path.write_bytes(picture(number))
        return path

    def followed(
        self, references: Iterable[int] = (), image_prompts: Iterable[int] = (), strength: float = 1.0
    ) -> Followed:
        """Pictures to follow, told by their numbers."""
        return Followed(
            references=tuple(self[number] for number in references),
            image_prompts=tuple(self[number] for number in image_prompts),
            image_prompt_strength=strength,
        )

    def control(self, kind: Any, *, ready: bool = False) -> Followed:
        """Edges or relief of the first picture."""
        return Followed(control=Control(kind, self[1], 40, 160, ready))

    def fill(self, margins: Margins | None = None) -> Followed:
        """The first picture, its part drawn anew; or drawn further at its sides."""
        if margins is None:
            return Followed(fill=Fill(self[1], self[2]))
        wide, mask = expanded(self[1].read_bytes(), margins)
        for name, data in (("wide", wide), ("mask", mask)):
            (self._folder / f"{name}.png").write_bytes(data)
        return Followed(fill=Fill(self._folder / "wide.png", self._folder / "mask.png", margins))


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return Album(tmp_path)


def sent(fake: FakeBfl, path: str) -> dict[str, Any]:
    """The one body that came for an endpoint, its pictures decoded."""
    (request,) = fake.seen(f"/v1/{path}")
    return {
        field: base64.b64decode(value) if field in _PICTURES else value
        for field, value in request.json.items()
    }


_PICTURES = {
    "input_image", "input_image_2", "input_image_3", "input_image_8", "image_prompt", "image", "mask",
    "control_image", "preprocessed_image",
}  # fmt: skip


# Each use: the body that arrives.


@pytest.mark.parametrize(
    ("model", "lora", "path"),
    [
        ("bfl/flux-2-klein-4b", None, "flux-2-klein-4b"),
        ("bfl/flux-2-klein-4b", MUG, "flux-2-klein-4b-finetuned"),
        ("bfl/flux-2-pro", None, "flux-2-pro"),
        ("bfl/flux-kontext-max", None, "flux-kontext-max"),
    ],
)
def test_an_edit_carries_its_references_in_their_order(
    fake: FakeBfl, provider: BflProvider, album: Album, model: str, lora: RemoteLora | None, path: str
) -> None:
    task = drawing(base_model=model, remote_lora=lora, followed=album.followed(references=(3, 1, 2)))

    assert len(provider.generate(task, Told())) == 1

    body = sent(fake, path)
    assert body["prompt"] == "a cup"
    assert [body[name] for name in ("input_image", "input_image_2", "input_image_3")] == [
        album[number].read_bytes() for number in (3, 1, 2)
    ]
    assert ("finetune_id" in body) == (lora is not None)


def test_a_model_of_eight_references_gets_all_of_them(
    fake: FakeBfl, provider: BflProvider, album: Album
) -> None:
    provider.generate(
        drawing(base_model="bfl/flux-2-pro", followed=album.followed(references=range(8))), Told()
    )
    assert sent(fake, "flux-2-pro")["input_image_8"] == album[7].read_bytes()


@pytest.mark.parametrize(
    ("model", "lora", "path", "strength"),
    [
        ("bfl/flux-pro-1.1", None, "flux-pro-1.1", None),
        ("bfl/flux-dev", None, "flux-dev", None),
        ("bfl/flux-pro", MUG, "flux-pro-finetuned", None),
        ("bfl/flux-pro-1.1-ultra", None, "flux-pro-1.1-ultra", 0.4),
        ("bfl/flux-pro-1.1-ultra", MUG, "flux-pro-1.1-ultra-finetuned", 0.4),
    ],
)
def test_an_image_prompt_is_carried_with_its_strength_where_there_is_a_field_for_it(
    fake: FakeBfl,
    provider: BflProvider,
    album: Album,
    model: str,
    lora: RemoteLora | None,
    path: str,
    strength: float | None,
) -> None:
    followed = album.followed(image_prompts=(1,), strength=0.4)
    told = Told()

    provider.generate(drawing(base_model=model, remote_lora=lora, followed=followed), told)

    body = sent(fake, path)
    assert body["image_prompt"] == album[1].read_bytes()
    assert body.get("image_prompt_strength") == strength
    left_out = [message for message in told.messages if "takes no image prompt strength" in message]
    assert bool(left_out) == (strength is None)


def test_without_an_image_prompt_no_strength_is_sent(fake: FakeBfl, provider: BflProvider) -> None:
    provider.generate(drawing(base_model="bfl/flux-pro-1.1-ultra"), Told())
    assert "image_prompt_strength" not in sent(fake, "flux-pro-1.1-ultra")


@pytest.mark.parametrize(
    ("model", "lora", "path"),
    [
        ("bfl/flux-pro-1.0-fill", None, "flux-pro-1.0-fill"),
        ("bfl/flux-pro", MUG, "flux-pro-1.0-fill-finetuned"),
    ],
)
def test_a_fill_carries_picture_and_mask_and_no_size(
    fake: FakeBfl, provider: BflProvider, album: Album, model: str, lora: RemoteLora | None, path: str
) -> None:
    task = drawing(base_model=model, remote_lora=lora, steps=20, guidance=30.0, followed=album.fill())

    provider.generate(task, Told())

    finetune = {"finetune_id": "my-mug", "finetune_strength": 1.2} if lora else {}
    assert sent(fake, path) == {
        "prompt": "a cup", "seed": 7, "output_format": "png", "steps": 20, "guidance": 30.0,
        "image": album[1].read_bytes(), "mask": album[2].read_bytes(), **finetune,
    }  # fmt: skip


def test_an_expansion_carries_the_picture_as_it_was_and_its_margins(
    fake: FakeBfl, provider: BflProvider, album: Album
) -> None:
    margins = Margins(top=8, bottom=16, left=0, right=32)

    task = drawing(base_model="bfl/flux-pro-1.0-fill", width=96, height=88, followed=album.fill(margins))
    provider.generate(task, Told())

    body = sent(fake, "flux-pro-1.0-expand")
    assert {side: body[side] for side in ("top", "bottom", "left", "right")} == {
        "top": 8, "bottom": 16, "left": 0, "right": 32,
    }  # fmt: skip
    before, carried = Image.open(album[1]), Image.open(io.BytesIO(body["image"]))
    assert carried.size == before.size
    assert carried.tobytes() == before.tobytes()
    assert "mask" not in body
    assert fake.seen("/v1/flux-pro-1.0-fill") == []


def test_where_only_masks_are_taken_an_expansion_is_the_fill_of_a_wider_picture(
    fake: FakeBfl, provider: BflProvider, album: Album
) -> None:
    task = drawing(base_model="bfl/flux-pro", remote_lora=MUG, followed=album.fill(Margins(right=64)))
    provider.generate(task, Told())
    body = sent(fake, "flux-pro-1.0-fill-finetuned")
    mask = Image.open(io.BytesIO(body["mask"]))
    assert Image.open(io.BytesIO(body["image"])).size == mask.size == (128, 64)
    assert [mask.getpixel((x, 30)) for x in (10, 100)] == [0, 255]
    assert "right" not in body


@pytest.mark.parametrize("kind", ["canny", "depth"])
@pytest.mark.parametrize("lora", [None, MUG])
def test_a_control_is_carried_with_its_thresholds(
    fake: FakeBfl, provider: BflProvider, album: Album, kind: str, lora: RemoteLora | None
) -> None:
    model = "bfl/flux-pro" if lora else f"bfl/flux-pro-1.0-{kind}"

    provider.generate(drawing(base_model=model, remote_lora=lora, followed=album.control(kind)), Told())

    body = sent(fake, f"flux-pro-1.0-{kind}{'-finetuned' if lora else ''}")
    assert body["control_image"] == album[1].read_bytes()
    thresholds = (body.get("canny_low_threshold"), body.get("canny_high_threshold"))
    assert thresholds == ((40, 160) if kind == "canny" else (None, None))


@pytest.mark.parametrize("kind", ["canny", "depth"])
def test_edges_or_relief_that_are_ready_are_carried_as_such(
    fake: FakeBfl, provider: BflProvider, album: Album, kind: str
) -> None:
    followed = album.control(kind, ready=True)
    provider.generate(drawing(base_model=f"bfl/flux-pro-1.0-{kind}", followed=followed), Told())
    body = sent(fake, f"flux-pro-1.0-{kind}")
    assert body["preprocessed_image"] == album[1].read_bytes()
    assert "control_image" not in body


def test_every_picture_of_several_is_asked_for_with_the_same_ones(
    fake: FakeBfl, provider: BflProvider, album: Album
) -> None:
    fake.script(SUBMIT, accepts("task-1"), accepts("task-2"))
    provider.generate(drawing(count=2, followed=album.followed(references=(1,))), Told())
    bodies = [request.json for request in fake.seen(SUBMIT)]
    assert [body.pop("seed") for body in bodies] == [7, 8]
    assert bodies[0] == bodies[1]


# What is declared, and what is refused before anything is paid.


@pytest.mark.parametrize(
    ("model", "capabilities"),
    [
        ("flux-2-klein-4b", {"text", "edit"}),
        ("flux-2-klein-base-9b", {"text", "edit"}),
        ("flux-2-flex", {"text", "edit"}),
        ("flux-kontext-pro", {"text", "edit"}),
        ("flux-pro-1.1", {"text", "image_prompt"}),
        ("flux-pro-1.1-ultra", {"text", "image_prompt"}),
        ("flux-pro-1.0-fill", {"fill"}),
        ("flux-pro-1.0-canny", {"canny"}),
        ("flux-pro-1.0-depth", {"depth"}),
        ("flux-pro", {"text", "image_prompt", "fill", "canny", "depth"}),
    ],
)
def test_each_model_declares_what_its_endpoints_have_fields_for(
    provider: BflProvider, model: str, capabilities: set[str]
) -> None:
    models = {info.name: info for info in provider.models()}
    assert models[f"bfl/{model}"].capabilities == capabilities


def test_every_endpoint_of_the_catalogue_draws_from_what_its_model_declares() -> None:
    assert all(offer.capabilities for offer in OFFERS)
    assert {endpoint.path for offer in OFFERS for endpoint in offer.alone} >= {
        f"/v1/{path}" for path in (*KINDS, *TOOLS)
    }


@pytest.fixture
def refused(fake: FakeBfl, provider: BflProvider) -> Any:
    """The error of a task that must not be sent."""

    def error(task: GenerationTask) -> UnsupportedError | ValidationError:
        with pytest.raises((UnsupportedError, ValidationError)) as caught:
            provider.generate(task, Told())
        assert fake.requests == []
        return caught.value

    return error


@pytest.mark.parametrize(
    ("model", "uses", "code", "words"),
    [
        (KLEIN, {"image_prompts": (1,)}, "pictures-unsupported", "4B (BFL) does not draw from this at once"),
        (KLEIN, {"references": range(5)}, "too-many-pictures", "at most 4 pictures of the use 'edit', not 5"),
        ("bfl/flux-2-pro", {"references": range(9)}, "too-many-pictures", "at most 8 pictures"),
        ("bfl/flux-pro-1.1", {"image_prompts": (1, 2)}, "too-many-pictures", "at most one picture of"),
        ("bfl/flux-pro-1.1", {"references": (1,)}, "pictures-unsupported", "edit"),
        (
            "bfl/flux-2-pro",
            {"references": (1,), "image_prompts": (2,)},
            "pictures-unsupported",
            "edit, image_prompt",
        ),
        ("bfl/flux-pro-1.0-fill", {}, "pictures-unsupported", "text"),
    ],
)
def test_pictures_that_a_model_does_not_follow_are_refused(
    refused: Any, album: Album, model: str, uses: dict[str, Any], code: str, words: str
) -> None:
    error = refused(drawing(base_model=model, followed=album.followed(**uses)))
    assert error.code == code
    assert words in error.message
    assert error.field == "pictures"


def test_a_ready_control_is_refused_where_a_finetune_takes_none(refused: Any, album: Album) -> None:
    task = drawing(base_model="bfl/flux-pro", remote_lora=MUG, followed=album.control("canny", ready=True))
    assert refused(task).code == "ready-control-unsupported"


def test_steps_that_text_takes_and_a_fill_does_not_are_refused(refused: Any, album: Album) -> None:
    task = drawing(base_model="bfl/flux-pro", remote_lora=MUG, steps=10, followed=album.fill())
    error = refused(task)
    assert error.code == "steps-unsupported"
    assert "at least 15, not 10" in error.message


def test_a_picture_that_is_too_large_is_refused_with_both_sizes(
    refused: Any, album: Album, tmp_path: Path
) -> None:
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1_500_000)
    error = refused(drawing(followed=replace(album.followed(), references=(album[1], large))))
    assert error.code == "picture-too-large"
    assert "has 21.5 MB as a PNG; BFL's API takes at most 20 MB" in error.message


def test_a_picture_that_has_vanished_ends_in_words(
    fake: FakeBfl, provider: BflProvider, tmp_path: Path
) -> None:
    with pytest.raises(StorageError):
        provider.generate(drawing(followed=Followed(references=(tmp_path / "gone.png",))), Told())
    assert fake.requests == []


# What is paid for is sent once, and the ledger stays small.


def test_a_host_that_is_busy_is_sent_the_same_bytes_again(
    fake: FakeBfl, provider: BflProvider, album: Album
) -> None:
    busy = says(429, {"detail": "24 active tasks"})
    fake.script(SUBMIT, *[busy] * 8, accepts())
    provider.generate(drawing(followed=album.followed(references=(1, 2))), Told())
    assert len({request.body for request in fake.seen(SUBMIT)}) == 1
    assert len(fake.seen(SUBMIT)) == 9


def test_a_job_that_goes_on_after_a_refusal_sends_the_same_bytes(
    fake: FakeBfl, provider: BflProvider, album: Album
) -> None:
    task = drawing(followed=album.followed(references=(1, 2)))
    fake.script(SUBMIT, says(402, {"detail": "insufficient_credits"}), accepts())
    with pytest.raises(APIError):
        provider.generate(task, Told())
    assert len(provider.generate(task, Told())) == 1
    first, second = fake.seen(SUBMIT)
    assert first.body == second.body


@pytest.mark.parametrize("lost", [fake_bfl.resets, says(502, {}), fake_bfl.HTML])
def test_a_request_whose_answer_is_lost_is_not_paid_for_twice(
    fake: FakeBfl, provider: BflProvider, album: Album, lost: fake_bfl.Move
) -> None:
    task = drawing(followed=album.followed(references=(1,)))
    fake.script(SUBMIT, lost, accepts())
    for _ in range(2):
        with pytest.raises(APIError) as caught:
            provider.generate(task, Told())
        assert caught.value.code == "task-maybe-charged"
    assert len(fake.seen(SUBMIT)) == 1


def test_what_was_accepted_is_followed_without_its_pictures(
    fake: FakeBfl, db: Database, clock: SkippingClock, album: Album
) -> None:
    task = drawing(running_job(db), followed=album.followed(references=(1,)))
    fake.script(POLL, fake_bfl.status("Pending"), pending(0.4), *[says(401, {})] * 20)
    first = provider_at(fake.url, db, clock)
    with pytest.raises(APIError):
        first.generate(task, Told())
    first.close()
    fake.script(POLL, ready())

    resumed = provider_at(fake.url, db, clock)
    assert len(resumed.generate(task, Told())) == 1
    resumed.close()

    assert len(fake.seen(SUBMIT)) == 1


def test_the_ledger_keeps_no_pictures(
    fake: FakeBfl, provider: BflProvider, db: Database, album: Album
) -> None:
    provider.generate(drawing(followed=album.followed(references=(1, 2, 3))), Told())
    assert len(fake.seen(SUBMIT)[0].body) > 500
    with db.reading() as session:
        (row,) = session.execute(select(CloudTaskRow.__table__)).all()
    assert len(str(row)) < 500
