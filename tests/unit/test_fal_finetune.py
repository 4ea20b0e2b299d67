"""Finetunes at fal: pictures up, paid for once, followed, and a LoRA home that is one."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxsmith.core.cloud_tasks import CloudTasks
from fluxsmith.core.database import Database
from fluxsmith.errors import APIError, Cancelled, UnsupportedError
from fluxsmith.providers.base import FinetuneParameters, FinetuneTask, TrainingPicture
from fluxsmith.providers.fal import FalProvider, hosts_at
from tests import fake_fal, fake_host
from tests.clocks import SkippingClock
from tests.clouds import Told
from tests.fake_fal import (
    CANCEL,
    DRAWN,
    DRAWS,
    HISTORY,
    INITIATE,
    KLEIN,
    LORA_PATH,
    REQUEST,
    SIGNED,
    STATUS,
    TRAINER,
    ZIP,
    FakeFal,
    completed,
    lora_file,
    queued,
    running,
)  # fmt: skip
from tests.fake_host import Move, image, says, sends

KEY = "fal-id:fal-secret-0123456789"


@pytest.fixture
def fal() -> Iterator[FakeFal]:
    server = FakeFal()
    yield server
    server.close()


def fal_at(fal: FakeFal, db: Database, clock: SkippingClock) -> FalProvider:
    hosts = hosts_at(fal.url, KEY, clock=clock, uniform=lambda low, high: high)
    return FalProvider(hosts, CloudTasks(db, "fal", 10))


@pytest.fixture
def provider(fal: FakeFal, db: Database, clock: SkippingClock) -> Iterator[FalProvider]:
    made = fal_at(fal, db, clock)
    yield made
    made.close()


def training(folder: Path, base: str = KLEIN, task_id: str | None = None, **parameters: Any) -> FinetuneTask:
    path = folder / "picture.png"
    path.write_bytes(image())
    return FinetuneTask(
        id=task_id or str(uuid.uuid4()),
        base_model=base,
        pictures=tuple(TrainingPicture(path, f"TOK, number {n}") for n in range(2)),
        trigger_word="TOK",
        parameters=FinetuneParameters(**{"steps": 200, **parameters}),
        run_dir=folder,
        metadata={"name": "My mug", "dataset_hash": "d" * 64},
    )


def test_pictures_go_up_and_a_lora_comes_home(fal: FakeFal, provider: FalProvider, tmp_path: Path) -> None:
    told = Told()
    outcome = provider.finetune(training(tmp_path, learning_rate=1e-4), told)

    assert outcome.lora_path is not None
    assert outcome.lora_path.read_bytes() == lora_file()
    assert outcome.remote_id == fal.url + LORA_PATH
    assert outcome.facts == {
        "host": "127.0.0.1", "trainer": TRAINER[1:], "request_id": "req-1", "lora_url": fal.url + LORA_PATH,
        "price_usd": 0.92, "dataset_hash": "d" * 64,
    }  # fmt: skip
    assert fal.seen(TRAINER)[0].json == {
        "image_data_url": fal.url + ZIP, "default_caption": "TOK", "steps": 200, "learning_rate": 1e-4,
    }  # fmt: skip
    packed = zipfile.ZipFile(io.BytesIO(fal.seen(SIGNED)[0].body))
    assert sorted(packed.namelist()) == ["01.png", "01.txt", "02.png", "02.txt"]
    assert packed.read("02.txt") == b"TOK, number 1"


def test_the_place_in_the_queue_the_log_and_the_steps_are_told(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    told = Told()
    provider.finetune(training(tmp_path), told)
    assert "Waiting at 127.0.0.1 behind 2 others" in told.stages
    assert "Training at 127.0.0.1" in told.stages
    assert [step for step in told.steps if step] == [50, 150, 200]
    assert told.messages.count("Steps: 50/200, loss=0.25") == 1
    assert "logs=1" in fal.seen(STATUS)[0].query


def test_the_key_goes_to_fal_and_to_no_store_of_files(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    provider.finetune(training(tmp_path), Told())
    keyed = {request.path for request in fal.requests if "authorization" in request.headers}
    assert keyed == {INITIATE, TRAINER, STATUS, REQUEST}
    assert fal.seen(TRAINER)[0].headers["authorization"] == f"Key {KEY}"
    assert {SIGNED, LORA_PATH} <= {request.path for request in fal.requests}


def test_flux_3_has_other_fields_and_a_resolution(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    trainer, place = "/blackforestlabs/flux-3/klein/base/trainer", "/blackforestlabs/flux-3/requests/req-3"
    fal.script(trainer, fake_fal.accepts(place))
    fal.script(f"{place}/status", completed())
    fal.script(place, says(200, {"lora_file": {"url": fal.url + LORA_PATH}}))
    provider.finetune(training(tmp_path, base="fal/flux-3-klein-base", resolution=768), Told())
    assert fal.seen(trainer)[0].json == {
        "images_data_url": fal.url + ZIP, "trigger_phrase": "TOK", "steps": 200, "resolution": 768,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"steps": 99}, "steps"), ({"steps": 10_001}, "steps"), ({"finetune_type": "full"}, "finetune_type")],
)
def test_what_fal_does_not_take_is_refused_before_anything_is_sent(
    fal: FakeFal, provider: FalProvider, tmp_path: Path, parameters: dict[str, Any], field: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        provider.finetune(training(tmp_path, **parameters), Told())
    assert caught.value.field == field
    assert fal.requests == []


def test_what_fal_has_no_field_for_is_named(fal: FakeFal, provider: FalProvider, tmp_path: Path) -> None:
    told = Told()
    provider.finetune(training(tmp_path, lora_rank=8), told)
    assert any("without lora_rank" in message for message in told.messages)


@pytest.mark.parametrize(
    "lost", [fake_host.resets, says(502, {}), says(500, {"detail": "Oh"}), fake_host.HTML]
)
def test_a_training_whose_answer_was_lost_is_found_in_the_history(
    fal: FakeFal, provider: FalProvider, tmp_path: Path, lost: Move
) -> None:
    nothing = says(200, {"items": []})
    fal.script(TRAINER, lost)
    fal.script(HISTORY, nothing, fal.history("other", "https://x/y.zip"), fal.history())
    told = Told()
    outcome = provider.finetune(training(tmp_path), told)
    assert outcome.facts["request_id"] == "req-1"
    assert len(fal.seen(TRAINER)) == 1
    assert "It had arrived, as req-1." in told.messages
    assert f"endpoint_id={TRAINER[1:].replace('/', '%2F')}" in fal.seen(HISTORY)[0].query


def test_a_training_that_is_not_found_is_never_sent_again(
    fal: FakeFal, provider: FalProvider, clock: SkippingClock, tmp_path: Path
) -> None:
    fal.script(TRAINER, fake_host.resets)
    fal.script(HISTORY, says(200, {"items": []}))
    task = training(tmp_path)
    for _ in range(2):  # the second time as after a crash
        with pytest.raises(APIError) as caught:
            provider.finetune(task, Told())
        assert caught.value.code == "task-maybe-charged"
    assert len(fal.seen(TRAINER)) == 1
    assert clock.waited_s > 3 * 3600
    assert len(fal.seen(SIGNED)) == 1  # its address is what the request is found by


def test_a_training_that_cannot_be_looked_for_is_not_sent_again(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    fal.script(TRAINER, fake_host.resets)
    fal.script(HISTORY, says(403, {"detail": "Access denied"}))
    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), Told())
    assert caught.value.code == "task-maybe-charged"
    assert len(fal.seen(TRAINER)) == 1


LOCKED = {"detail": "User is locked. Reason: Exhausted balance. Top up your balance."}
INVALID = {"detail": [{"loc": ["body", "steps"], "msg": "Too many", "type": "less_than_equal"}]}


@pytest.mark.parametrize(
    ("move", "code", "words"),
    [
        (says(401, {"detail": "Invalid key"}), "api-key-refused", "FLUXSMITH_FAL_KEY"),
        (says(402, {"detail": "No credits"}), "api-no-credits", "no credits left"),
        (says(403, LOCKED), "api-no-credits", "Exhausted balance"),
        (says(403, {"detail": "Access denied"}), "api-forbidden", "Access denied"),
        (says(404, {"detail": "Not found"}), "api-no-such-endpoint", "FLUXSMITH_FAL_BASE_URL"),
        (says(422, INVALID), "api-refused-input", "steps: Too many"),
        (says(429, {"detail": "Too many"}, {"retry-after": "600"}), "api-busy", "10 min"),
    ],
)
def test_a_refusal_is_in_words_and_may_be_sent_again(
    fal: FakeFal, provider: FalProvider, tmp_path: Path, move: Move, code: str, words: str
) -> None:
    fal.script(TRAINER, move, fake_fal.accepts(REQUEST))
    task = training(tmp_path)
    with pytest.raises(APIError) as caught:
        provider.finetune(task, Told())
    assert caught.value.code == code
    assert words in str(caught.value)
    assert KEY not in str(caught.value)
    assert provider.finetune(task, Told()).lora_path is not None
    assert len(fal.seen(TRAINER)) == 2


def test_a_busy_fal_is_asked_again_as_it_advises(
    fal: FakeFal, provider: FalProvider, clock: SkippingClock, tmp_path: Path
) -> None:
    fal.script(TRAINER, says(429, {}, {"retry-after": "7"}), fake_fal.accepts(REQUEST))
    provider.finetune(training(tmp_path), Told())
    assert clock.waited_s >= 7


@pytest.mark.parametrize("path", [STATUS, REQUEST, LORA_PATH, INITIATE, SIGNED])
def test_a_fault_on_the_way_is_waited_out(
    fal: FakeFal, provider: FalProvider, tmp_path: Path, path: str
) -> None:
    honest = fal.moves[path]
    fault = says(503, {}) if path == INITIATE else fake_host.resets
    fal.script(path, *([says(429, {})] if path == INITIATE else [fault, says(502, {})]), *honest)
    assert provider.finetune(training(tmp_path), Told()).lora_path is not None
    assert len(fal.seen(TRAINER)) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\x80\x04cposix\nsystem\n" + b"x" * 100, "not in safetensors format"),
        (lora_file()[:-3], "bytes instead of"),
        (lora_file("transformer.x.weight"), "no LoRA matrices"),
        (b"", "not in safetensors format"),
    ],
)
def test_what_is_no_lora_is_not_kept(
    fal: FakeFal, provider: FalProvider, tmp_path: Path, body: bytes, words: str
) -> None:
    fal.script(LORA_PATH, sends(body, "application/octet-stream"))
    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), Told())
    assert caught.value.code == "task-lora-unreadable"
    assert words in caught.value.message
    assert "req-1" in caught.value.message
    assert not (tmp_path / "lora.safetensors").exists()


def test_a_lora_that_is_cut_off_is_fetched_again(fal: FakeFal, provider: FalProvider, tmp_path: Path) -> None:
    fal.script(LORA_PATH, fake_host.cuts_off(lora_file()), sends(lora_file(), "application/octet-stream"))
    outcome = provider.finetune(training(tmp_path), Told())
    assert outcome.lora_path is not None
    assert outcome.lora_path.read_bytes() == lora_file()


@pytest.mark.parametrize("declared", [True, False])
def test_a_lora_that_is_too_large_is_not_fetched(
    fal: FakeFal, provider: FalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: bool
) -> None:
    monkeypatch.setattr("fluxsmith.providers.fal_files.LORA_BYTES", 100)

    def undeclared(exchange: fake_host.Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + lora_file() * 50)
        exchange.break_off()

    fal.script(LORA_PATH, sends(lora_file() * 50, "application/octet-stream") if declared else undeclared)
    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), Told())
    assert caught.value.code == "task-lora-too-large"


@pytest.mark.parametrize("address", ["http://10.0.0.1/lora", "http://127.0.0.2:9/lora", "http://[::1]/lora"])
def test_an_address_inside_the_own_network_is_not_asked(
    fal: FakeFal, provider: FalProvider, tmp_path: Path, address: str
) -> None:
    fal.script(REQUEST, fal.trained(address))
    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), Told())
    assert "not public" in caught.value.message


def test_a_redirect_into_the_own_network_is_not_followed(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    fal.script(LORA_PATH, fake_host.redirects("http://169.254.169.254/latest"))
    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), Told())
    assert "not public" in caught.value.message


def test_a_training_that_fails_tells_its_error_and_its_log(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    fal.script(STATUS, running("Loading"), completed("Loading", "CUDA ran out", error="Memory ran out."))
    told = Told()
    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), told)
    assert caught.value.code == "task-failed"
    assert "Memory ran out" in caught.value.message
    assert "CUDA ran out" in told.messages


def test_a_completed_training_whose_response_is_an_error_has_failed(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    fal.script(REQUEST, says(422, {"detail": [{"loc": ["body", "image_data_url"], "msg": "Not a zip"}]}))
    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), Told())
    assert caught.value.code == "task-failed"
    assert "Not a zip" in caught.value.message


def test_a_completed_training_without_a_lora_is_told(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    fal.script(REQUEST, says(200, {"config_file": {}}))
    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), Told())
    assert caught.value.code == "task-without-result"


def test_a_result_that_the_queue_has_forgotten_is_taken_from_the_history(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    result = {"diffusers_lora_file": {"url": fal.url + LORA_PATH}}
    fal.script(STATUS, says(404, {"detail": "Request not found"}))
    fal.script(HISTORY, says(200, {"items": [{"request_id": "req-1", "json_output": result}]}))
    assert provider.finetune(training(tmp_path), Told()).lora_path is not None


def test_a_training_that_never_moves_is_let_go_in_words(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    fal.script(STATUS, queued(3))
    with pytest.raises(APIError) as caught:
        provider.finetune(training(tmp_path), Told())
    assert caught.value.code == "task-stuck"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(202, {"status": "CANCELLATION_REQUESTED"}), "was asked to stop"),
        (says(400, {"status": "ALREADY_COMPLETED"}), "already ended"),
        (says(500, {"detail": "Oh"}), "could not be stopped"),
    ],
)
def test_a_cancel_asks_fal_to_stop_and_tells_what_it_said(
    fal: FakeFal, provider: FalProvider, clock: SkippingClock, tmp_path: Path, answer: Move, words: str
) -> None:
    fal.script(STATUS, running())
    fal.script(CANCEL, answer)
    told = Told(stop_after_s=20, clock=clock)
    with pytest.raises(Cancelled):
        provider.finetune(training(tmp_path), told)
    assert {request.method for request in fal.seen(CANCEL)} == {"PUT"}
    assert words in told.messages[-1]


def test_a_lora_without_an_address_at_fal_is_sent_there_to_draw_with(
    fal: FakeFal, provider: FalProvider, tmp_path: Path
) -> None:
    from fluxsmith.providers.base import Adapter
    from tests.clouds import drawing

    path = tmp_path / "mine.safetensors"
    path.write_bytes(lora_file())
    task = drawing(base_model=KLEIN, width=512, height=512, adapters=(Adapter("mine", path, 0.5),))
    assert len(provider.generate(task, Told())) == 1
    assert fal.seen(SIGNED)[0].body == lora_file()
    assert fal.seen(DRAWS)[0].json["loras"] == [{"path": fal.url + ZIP, "scale": 0.5}]


def test_a_blackened_picture_is_not_shown(fal: FakeFal, provider: FalProvider) -> None:
    from tests.clouds import drawing

    fal.script(DRAWN, fal.drawn(nsfw=True))
    with pytest.raises(APIError) as caught:
        provider.generate(drawing(base_model=KLEIN), Told())
    assert caught.value.code == "task-content-moderated"
    assert len(json.dumps(fal.seen(DRAWS)[0].json)) > 0
