"""Finetunes over BFL's API of 2025: at another fluxsmith they run, at BFL's cloud the way around is named."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fluxsmith.core.database import Database
from fluxsmith.errors import APIError, Cancelled, UnsupportedError
from fluxsmith.providers.base import FinetuneParameters, FinetuneTask, TrainingPicture
from fluxsmith.providers.bfl import BflProvider
from tests import fake_bfl
from tests.clocks import SkippingClock
from tests.clouds import Told, provider_at
from tests.fake_bfl import FakeBfl, Move, image, pending, says, status

SUBMIT, POLL = "/v1/finetune", "/v1/get_result"
LIST, DETAILS, DELETE = "/v1/my_finetunes", "/v1/finetune_details", "/v1/delete_finetune"
TASK_ID = "5ab0f4d2-0000-4000-8000-000000000000"
COMMENT = f"My mug [{TASK_ID[:13]}]"
DONE = {"finetune_id": "ft-1", "finetune_comment": COMMENT, "trigger_word": "TOK"}


def details(comment: str) -> Move:
    return says(200, {"finetune_details": {"finetune_comment": comment, "iterations": 150}})


@pytest.fixture
def fake(fake: FakeBfl) -> FakeBfl:
    """The fake, with a script in which all goes well."""
    fake.script(SUBMIT, says(200, {"id": "ft-1", "finetune_id": "ft-1"}))
    fake.script(POLL, pending(0.5), says(200, {"id": "ft-1", "status": "Ready", "result": DONE}))
    fake.script(LIST, says(200, {"finetunes": ["ft-0", "ft-1"]}))
    fake.script(DETAILS, details("another"), details(COMMENT))
    fake.script(DELETE, says(200, {"status": "deleted"}))
    return fake


def training(folder: Path, pictures: int = 2, **parameters: Any) -> FinetuneTask:
    path = folder / "picture.png"
    path.write_bytes(image())
    return FinetuneTask(
        id=TASK_ID,
        base_model="bfl/flux-pro",
        pictures=tuple(TrainingPicture(path, f"TOK, number {n}") for n in range(pictures)),
        trigger_word="TOK",
        parameters=FinetuneParameters(**{"steps": 150, "lora_rank": 16, **parameters}),
        run_dir=folder,
        mode="product",
        metadata={"name": "My mug"},
    )


def test_a_finetune_sends_its_pictures_with_their_captions_and_stays_there(
    fake: FakeBfl, provider: BflProvider, tmp_path: Path
) -> None:
    told = Told()
    outcome = provider.finetune(training(tmp_path, learning_rate=1e-4), told)

    assert (outcome.lora_path, outcome.remote_id) == (None, "ft-1")
    assert outcome.facts["host"] == "127.0.0.1"
    sent = fake.seen(SUBMIT)[0].json
    packed = zipfile.ZipFile(io.BytesIO(base64.b64decode(sent.pop("file_data"))))
    assert sorted(packed.namelist()) == ["01.png", "01.txt", "02.png", "02.txt"]
    assert packed.read("02.txt") == b"TOK, number 1"
    assert packed.read("01.png") == image()
    assert sent == {
        "finetune_comment": COMMENT, "trigger_word": "TOK", "mode": "product", "iterations": 150,
        "learning_rate": 1e-4, "captioning": False, "priority": "quality", "finetune_type": "lora",
        "lora_rank": 16,
    }  # fmt: skip
    assert told.stages[-2:] == ["Training at 127.0.0.1", "Trained at 127.0.0.1"]
    assert told.steps == [0, 75, 150]


def test_the_stage_and_the_time_left_are_those_that_the_host_tells(
    fake: FakeBfl, provider: BflProvider, tmp_path: Path
) -> None:
    body = {"status": "Pending", "progress": 0.2, "details": {"stage": "Caching", "eta_s": 30}}
    done = says(200, {"status": "Ready", "result": DONE})
    fake.script(POLL, says(200, body), done)
    told = Told()
    provider.finetune(training(tmp_path), told)
    assert (told.stages[-2], told.steps[-2]) == ("Caching at 127.0.0.1", 30)


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ({"steps": 50}, "steps"),
        ({"steps": 2000}, "steps"),
        ({"lora_rank": 8}, "lora_rank"),
        ({"pictures": 21}, "pictures"),
    ],
)
def test_what_the_api_does_not_take_is_refused_before_anything_is_sent(
    fake: FakeBfl, provider: BflProvider, tmp_path: Path, task: dict[str, Any], field: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        provider.finetune(training(tmp_path, **task), Told())
    assert caught.value.field == field
    assert fake.requests == []


@pytest.mark.parametrize("code", [404, 405, 410])
def test_the_clouds_refusal_names_the_way_around(
    fake: FakeBfl, provider: BflProvider, tmp_path: Path, code: int
) -> None:
    fake.script(SUBMIT, says(code, {"detail": "Not Found"}))

    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), Told())

    assert caught.value.code == "finetuning-retired"
    assert "31 October 2025" in caught.value.message
    for step in ("fluxsmith finetune", "fluxsmith models publish", "dashboard", "link its id"):
        assert step in caught.value.hint


@pytest.mark.parametrize("lost", [fake_bfl.resets, says(502, {}), fake_bfl.HTML])
def test_a_finetune_whose_answer_was_lost_is_found_in_the_list(
    fake: FakeBfl, provider: BflProvider, tmp_path: Path, lost: Move
) -> None:
    fake.script(SUBMIT, lost)
    told = Told()

    outcome = provider.finetune(training(tmp_path), told)

    assert outcome.remote_id == "ft-1"
    assert len(fake.seen(SUBMIT)) == 1
    assert told.messages[-1] == "It had arrived, as ft-1."


def test_a_finetune_that_shows_up_late_in_the_list_is_waited_for(
    fake: FakeBfl, provider: BflProvider, clock: SkippingClock, tmp_path: Path
) -> None:
    fake.script(SUBMIT, says(504, {}))
    fake.script(
        LIST, says(200, {"finetunes": []}), says(200, {"finetunes": []}), says(200, {"finetunes": ["x"]})
    )
    fake.script(DETAILS, details(COMMENT))
    provider.finetune(training(tmp_path), Told())
    assert len(fake.seen(SUBMIT)) == 1
    assert clock.waited_s >= 30


def test_a_finetune_that_never_shows_up_in_the_list_is_sent_again(
    fake: FakeBfl, provider: BflProvider, clock: SkippingClock, tmp_path: Path
) -> None:
    fake.script(SUBMIT, fake_bfl.resets, says(200, {"id": "ft-1"}))
    fake.script(DETAILS, details("another"))
    told = Told()

    provider.finetune(training(tmp_path), told)

    assert len(fake.seen(SUBMIT)) == 2
    assert clock.waited_s > 120
    assert told.messages[-1] == "It had never arrived; it is sent again."


def test_a_finetune_that_cannot_be_looked_for_is_not_sent_again(
    fake: FakeBfl, provider: BflProvider, tmp_path: Path
) -> None:
    fake.script(SUBMIT, fake_bfl.resets)
    fake.script(LIST, says(404, {"detail": "Not Found"}))

    for _ in range(2):
        with pytest.raises(APIError) as caught:
            provider.finetune(training(tmp_path), Told())
        assert caught.value.code == "task-maybe-charged"

    assert len(fake.seen(SUBMIT)) == 1


def test_a_cancel_stops_the_training_there(
    fake: FakeBfl, provider: BflProvider, clock: SkippingClock, tmp_path: Path
) -> None:
    fake.script(POLL, pending(0.1))
    with pytest.raises(Cancelled):
        provider.finetune(training(tmp_path), Told(stop_after_s=20, clock=clock))
    assert fake.seen(DELETE)[0].json == {"finetune_id": "ft-1"}


def test_a_cancel_that_the_host_does_not_hear_is_told(
    fake: FakeBfl, provider: BflProvider, clock: SkippingClock, tmp_path: Path
) -> None:
    fake.script(POLL, pending(0.1))
    fake.script(DELETE, says(500, {"detail": "Oh"}))
    told = Told(stop_after_s=20, clock=clock)
    with pytest.raises(Cancelled):
        provider.finetune(training(tmp_path), told)
    assert "could not be stopped there" in told.messages[-1]


def test_a_training_that_fails_there_ends_in_the_words_of_the_host(
    fake: FakeBfl, provider: BflProvider, tmp_path: Path
) -> None:
    fake.script(POLL, pending(0.1), status("Error", details={"message": "Memory ran out.", "hint": "Less."}))
    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), Told())
    assert caught.value.code == "task-failed"
    assert "Memory ran out" in caught.value.message


def test_the_list_of_finetunes_is_kept_until_we_change_it(
    fake: FakeBfl, db: Database, clock: SkippingClock, tmp_path: Path
) -> None:
    provider = provider_at(fake.url, db, clock, cached=True)
    for _ in range(5):
        assert provider.finetunes() == ["ft-0", "ft-1"]
    assert len(fake.seen(LIST)) == 1

    provider.finetune(training(tmp_path), Told())
    provider.finetunes()

    assert len(fake.seen(LIST)) == 2
    provider.close()


def test_credits_are_asked_for_once_a_minute(fake: FakeBfl, db: Database, clock: SkippingClock) -> None:
    fake.script("/v1/credits", says(200, {"credits": 1250.5}))
    provider = provider_at(fake.url, db, clock, cached=True)
    assert [provider.credits() for _ in range(3)] == [1250.5] * 3
    assert len(fake.seen("/v1/credits")) == 1
    clock.sleep(61)
    provider.credits()
    assert len(fake.seen("/v1/credits")) == 2
    provider.close()
