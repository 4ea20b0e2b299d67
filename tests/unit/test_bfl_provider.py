"""Drawing at BFL: what is sent, what people read when it goes wrong, and that nothing hangs."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from fluxsmith.core.cloud_tasks import CloudTasks
from fluxsmith.core.database import Database
from fluxsmith.core.job_rows import end
from fluxsmith.errors import APIError, Cancelled, UnsupportedError
from fluxsmith.providers.base import GenerationTask, Picture, RemoteLora
from fluxsmith.providers.bfl import BflProvider
from fluxsmith.providers.bfl_catalogue import OFFERS, Sides
from tests import fake_bfl
from tests.clocks import SkippingClock
from tests.clouds import KEY, SHORT, Told, drawing, provider_at, running_job
from tests.fake_bfl import FakeBfl, Move, accepts, image, pending, ready, says, sends, status

SUBMIT, POLL, PICTURE = "/v1/flux-2-klein-4b", "/v1/get_result", "/pictures/1"


@pytest.fixture
def fake(fake: FakeBfl) -> FakeBfl:
    """The fake, with a script in which all goes well."""
    fake.script(SUBMIT, accepts())
    fake.script(POLL, pending(), ready())
    fake.script(PICTURE, sends(image(), "image/png"))
    return fake


def failed(provider: BflProvider, task: GenerationTask | None = None) -> APIError:
    with pytest.raises(APIError) as caught:
        provider.generate(task or drawing(), Told())
    return caught.value


def opened(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.png))


# What is sent and what comes of it.


def test_a_picture_is_drawn_by_submit_poll_and_fetch(fake: FakeBfl, provider: BflProvider) -> None:
    pictures = provider.generate(drawing(), Told())

    assert len(pictures) == 1
    assert opened(pictures[0]).size == (64, 64)
    assert opened(pictures[0]).getpixel((5, 30)) == (220, 40, 40)
    assert pictures[0].seed == 7
    assert [request.path for request in fake.requests] == [SUBMIT, POLL, POLL, PICTURE]
    assert fake.requests[0].json == {
        "prompt": "a cup", "seed": 7, "output_format": "png", "width": 64, "height": 64,
    }  # fmt: skip
    assert [request.headers.get("x-key") for request in fake.requests] == [KEY, KEY, KEY, None]


def test_polling_goes_where_the_answer_says_and_a_strange_host_sees_no_key(
    fake: FakeBfl, provider: BflProvider
) -> None:
    region = FakeBfl()
    region.script("/v1/get_result", ready(f"{fake.url}{PICTURE}"))
    polling_url = f"{region.url}/v1/get_result?id=task-1"
    fake.script(SUBMIT, says(200, {"id": "task-1", "polling_url": polling_url}))

    assert len(provider.generate(drawing(), Told())) == 1

    assert fake.seen(POLL) == []
    assert [request.headers.get("x-key") for request in region.requests] == [None]
    region.close()


def test_a_server_of_2025_that_sends_no_polling_url_is_polled_by_id(
    fake: FakeBfl, provider: BflProvider
) -> None:
    fake.script(SUBMIT, says(200, {"id": "old-1"}))
    provider.generate(drawing(), Told())
    assert fake.seen(POLL)[0].query == "id=old-1"


def test_progress_is_told_and_never_goes_backwards(fake: FakeBfl, provider: BflProvider) -> None:
    fake.script(POLL, pending(0.2), pending(0.6), pending(0.3), pending(None), pending(0.8), ready())
    told = Told()

    provider.generate(drawing(), told)

    assert told.steps == [0, 20, 60, 80]
    assert told.stages[-1] == "Drawing at 127.0.0.1"


def test_polls_become_rarer(fake: FakeBfl, provider: BflProvider, clock: SkippingClock) -> None:
    fake.script(POLL, *[pending(n / 100) for n in range(40)], ready())
    provider.generate(drawing(), Told())
    waited_s = clock.waited_s
    assert 100 < waited_s < 200  # 41 polls: half a second at first, five at last


def test_several_pictures_are_drawn_side_by_side_with_the_next_seeds(
    fake: FakeBfl, provider: BflProvider
) -> None:
    fake.script(SUBMIT, *[accepts(f"task-{n}") for n in range(3)])
    fake.script(POLL, ready(seed=7), ready(seed=8), ready(seed=9))

    pictures = provider.generate(drawing(count=3), Told())

    assert [request.json["seed"] for request in fake.seen(SUBMIT)] == [7, 8, 9]
    assert [picture.seed for picture in pictures] == [7, 8, 9]
    assert [request.path for request in fake.requests[:3]] == [SUBMIT] * 3


def test_a_size_that_the_model_does_not_take_is_drawn_near_it_and_brought_to_it(
    fake: FakeBfl, provider: BflProvider
) -> None:
    fake.script("/v1/flux-pro-1.1", accepts())
    fake.script(PICTURE, sends(image(512, 256), "image/png"))

    picture = provider.generate(drawing(base_model="bfl/flux-pro-1.1", width=500, height=250), Told())[0]

    sent = fake.seen("/v1/flux-pro-1.1")[0].json
    assert (sent["width"], sent["height"]) == (512, 256)
    assert opened(picture).size == (500, 250)
    assert (picture.native_width, picture.native_height) == (512, 256)


@pytest.mark.parametrize("width", [64, 100, 513, 1440, 2048])
@pytest.mark.parametrize("height", [64, 333, 1000, 2048])
@pytest.mark.parametrize("sides", {offer.sides for offer in OFFERS if offer.sides})
def test_every_size_becomes_one_that_is_allowed(sides: Sides, width: int, height: int) -> None:
    wide, high = sides.fit(width, height)
    assert wide % sides.multiple == high % sides.multiple == 0
    assert sides.least <= min(wide, high) and max(wide, high) <= sides.most
    assert wide * high <= sides.most_pixels


def test_a_model_that_takes_an_aspect_ratio_gets_one(fake: FakeBfl, provider: BflProvider) -> None:
    fake.script("/v1/flux-kontext-pro", accepts())
    provider.generate(drawing(base_model="bfl/flux-kontext-pro", width=1024, height=768), Told())
    sent = fake.seen("/v1/flux-kontext-pro")[0].json
    assert sent["aspect_ratio"] == "4:3"
    assert "width" not in sent


def test_a_finetune_is_drawn_with_by_its_id(fake: FakeBfl, provider: BflProvider) -> None:
    fake.script("/v1/flux-2-klein-4b-finetuned", accepts())
    provider.generate(drawing(remote_lora=RemoteLora("org/my-mug", 1.2)), Told())
    sent = fake.seen("/v1/flux-2-klein-4b-finetuned")[0].json
    assert (sent["finetune_id"], sent["finetune_strength"]) == ("org/my-mug", 1.2)


def test_wishes_that_the_model_has_no_field_for_are_told(provider: BflProvider) -> None:
    told = Told()
    provider.generate(drawing(steps=20, guidance=3.0), told)
    assert [message.split(" takes ")[1] for message in told.messages] == [
        "no steps; it was left out.",
        "no guidance; it was left out.",
    ]


@pytest.mark.parametrize(
    ("task", "code"),
    [
        (drawing(base_model="bfl/flux-dev", steps=80), "steps-unsupported"),
        (drawing(base_model="bfl/flux-2-flex", guidance=20.0), "guidance-unsupported"),
        (drawing(base_model="bfl/flux-2-pro", remote_lora=RemoteLora("x", 1.0)), "finetune-unsupported"),
        (drawing(base_model="bfl/flux-pro"), "finetune-needed"),
    ],
)
def test_what_a_model_cannot_do_is_refused_before_anything_is_paid(
    fake: FakeBfl, provider: BflProvider, task: GenerationTask, code: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        provider.generate(task, Told())
    assert caught.value.code == code
    assert fake.requests == []


def test_only_the_model_of_2025_is_trained_over_the_api(provider: BflProvider) -> None:
    models = {info.name: info for info in provider.models()}
    assert models["bfl/flux-pro"].trainable
    assert not any(info.trainable for name, info in models.items() if name != "bfl/flux-pro")


def test_at_bfl_itself_nothing_is_trained_and_the_way_around_is_named(
    db: Database, clock: SkippingClock
) -> None:
    cloud = provider_at("https://api.eu.bfl.ai", db, clock)
    for info in cloud.models():
        assert not info.trainable
        assert "fluxsmith models publish" in info.training_hint
    cloud.close()


# What goes wrong with a task.


@pytest.mark.parametrize(
    ("move", "code", "words"),
    [
        (status("Request Moderated"), "task-request-moderated", "refused the prompt"),
        (
            status("Content Moderated", details={"Moderation Reasons": ["Derivative Works Filter"]}),
            "task-content-moderated",
            "Derivative Works Filter",
        ),
        (status("Error", details={"message": "Out of luck."}), "task-failed", "Out of luck"),
        (status("Error", details="generation_timeout"), "task-failed", "generation_timeout"),
        (status("Error", error="invalid_input_image"), "task-failed", "invalid_input_image"),
        (status("Task not found"), "task-lost", "task-1"),
        (says(404, {"detail": "Not Found"}), "task-lost", "task-1"),
        (status("Ready"), "task-without-result", "sends no result"),
        (says(200, {"id": "1", "status": "Ready", "result": {"seed": 1}}), "task-without-result", "task-1"),
        (says(200, {"id": "1", "status": "Ready", "result": []}), "task-without-result", "task-1"),
        (says(200, {"state": "ok"}), "api-answer-unknown", "status"),
        (fake_bfl.HTML, "api-not-json", "web page"),
        (ready("ftp://127.0.0.1/x"), "api-answer-unknown", "ftp:"),
    ],
)
def test_a_task_that_ends_badly_ends_in_words(
    fake: FakeBfl, provider: BflProvider, move: Move, code: str, words: str
) -> None:
    fake.script(POLL, pending(), move)

    error = failed(provider)

    assert error.code == code
    assert words in error.message
    assert error.hint
    assert len(fake.seen(SUBMIT)) == 1


@pytest.mark.parametrize(
    "odd",
    [
        status("Task not found"),
        fake_bfl.HTML,
        says(200, []),
        says(500, {}),
        says(503, {}),
        says(429, {}),
        fake_bfl.resets,
        fake_bfl.damaged_gzip,
        status("Warming up"),
    ],
)
def test_a_task_that_was_paid_for_survives_odd_polls(fake: FakeBfl, provider: BflProvider, odd: Move) -> None:
    fake.script(POLL, pending(0.1), odd, odd, pending(0.5), odd, ready())
    assert len(provider.generate(drawing(), Told())) == 1
    assert len(fake.seen(SUBMIT)) == 1


def test_a_task_survives_minutes_in_which_the_host_is_down(fake: FakeBfl, provider: BflProvider) -> None:
    fake.script(POLL, *[says(503, {})] * 60, ready())
    assert len(provider.generate(drawing(), Told())) == 1


def test_a_task_that_never_ends_is_given_up_in_words(
    fake: FakeBfl, provider: BflProvider, clock: SkippingClock
) -> None:
    fake.script(POLL, pending(0.4))

    error = failed(provider)

    assert error.code == "task-stuck"
    assert "task-1 has not moved at 127.0.0.1 for 30 min" in error.message
    assert "may still be charged" in error.hint
    assert 1800 < clock.waited_s < 1900


def test_a_task_that_only_goes_backwards_is_stuck(fake: FakeBfl, provider: BflProvider) -> None:
    fake.script(POLL, *[pending(0.9 - n / 1000) for n in range(400)], pending(0.1))
    assert failed(provider).code == "task-stuck"


@pytest.mark.parametrize(
    ("move", "code"),
    [
        (says(403, {"detail": "expired"}), "task-result-expired"),
        (says(404, {}), "task-result-expired"),
        (says(410, {}), "task-result-expired"),
        (fake_bfl.HTML, "task-result-not-a-picture"),
        (sends(b"", "image/png"), "task-result-not-a-picture"),
        (sends(image()[:-30], "image/png"), "task-result-not-a-picture"),
        (sends(b"GIF89a" + b"\0" * 100, "image/gif"), "task-result-not-a-picture"),
        (fake_bfl.lies_about_length(image(512, 512)), "task-result-not-a-picture"),
        (fake_bfl.cuts_off(image(512, 512)), "api-answer-truncated"),
        (says(500, {}), "api-failed"),
    ],
)
def test_a_picture_that_cannot_be_fetched_ends_in_words(
    fake: FakeBfl, provider: BflProvider, move: Move, code: str
) -> None:
    fake.script(PICTURE, move)

    error = failed(provider)

    assert error.code == code
    assert len(fake.seen(SUBMIT)) == 1


@pytest.mark.parametrize("move", [says(403, {}), fake_bfl.cuts_off(image()), fake_bfl.HTML])
def test_a_picture_that_fails_once_is_fetched_again(fake: FakeBfl, provider: BflProvider, move: Move) -> None:
    fake.script(PICTURE, move, sends(image(), "image/png"))
    assert len(provider.generate(drawing(), Told())) == 1


@pytest.fixture
def hasty(fake: FakeBfl, db: Database, clock: SkippingClock) -> Iterator[BflProvider]:
    """A provider of little patience at the socket, whose task has been accepted already."""
    ledger = CloudTasks(db, "bfl", 24)
    intended = ledger.intend(drawing("begun").id, 0, SUBMIT)
    assert intended is not None
    ledger.accepted(intended, "task-1", None)
    made = provider_at(fake.url, db, clock, limits=SHORT)
    yield made
    made.close()


def test_a_picture_that_stalls_in_the_middle_ends_in_words(fake: FakeBfl, hasty: BflProvider) -> None:
    fake.script(PICTURE, fake_bfl.stalls(image(512, 512)))
    assert failed(hasty, drawing("begun")).code == "api-timeout"


@pytest.mark.parametrize(
    ("path", "move"),
    [
        (POLL, fake_bfl.slow_headers),
        (POLL, fake_bfl.stalls(b'{"status": "Pending"}')),
        (PICTURE, fake_bfl.stalls(image(512, 512))),
    ],
)
def test_an_exchange_that_hangs_once_is_made_again(
    fake: FakeBfl, hasty: BflProvider, path: str, move: Move
) -> None:
    fake.script(path, move, ready() if path == POLL else sends(image(), "image/png"))
    assert len(hasty.generate(drawing("begun"), Told())) == 1


def test_a_picture_that_is_too_large_is_not_read(
    fake: FakeBfl, provider: BflProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxsmith.providers.remote_drawing.PICTURE_BYTES", 100)
    assert failed(provider).code == "api-answer-too-large"


def test_pictures_that_were_drawn_are_kept_when_others_fail(fake: FakeBfl, provider: BflProvider) -> None:
    fake.script(SUBMIT, accepts("task-1"), accepts("task-2"), says(402, {"detail": "insufficient_credits"}))
    fake.script(POLL, status("Content Moderated"), ready())
    told = Told()

    pictures = provider.generate(drawing(count=4), told)

    assert len(pictures) == 1
    assert len(fake.seen(SUBMIT)) == 3
    assert "1 of 4 pictures were drawn" in told.messages[0]
    assert "no credits" in told.messages[0]


# Cancel, and how many at once.


def test_a_cancel_is_heard_at_once_and_says_what_may_be_charged(
    fake: FakeBfl, provider: BflProvider, clock: SkippingClock
) -> None:
    fake.script(POLL, pending(0.4))
    told = Told(stop_after_s=10, clock=clock)

    with pytest.raises(Cancelled):
        provider.generate(drawing(), told)

    assert clock.waited_s < 11
    assert "may be charged" in told.messages[-1]


def test_a_host_that_is_busy_with_others_is_waited_for(
    fake: FakeBfl, provider: BflProvider, clock: SkippingClock
) -> None:
    fake.script(SUBMIT, *[says(429, {"detail": "24 active tasks"})] * 30, accepts())
    assert len(provider.generate(drawing(), Told())) == 1
    assert 30 < clock.waited_s < 120


def test_a_host_that_is_busy_for_ever_or_says_so_is_given_up(
    fake: FakeBfl, provider: BflProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxsmith.providers.bfl.STUCK_S", 60.0)
    fake.script(SUBMIT, says(429, {"detail": "24 active tasks"}))
    assert failed(provider).code == "api-busy"
    fake.requests.clear()
    fake.script(SUBMIT, says(429, {"detail": "24 active tasks", "retry_after": 600}))
    assert "in 10 min" in failed(provider).hint
    assert len(fake.requests) == 1


def test_no_more_tasks_are_in_flight_than_allowed(fake: FakeBfl, db: Database, clock: SkippingClock) -> None:
    provider = provider_at(fake.url, db, clock, most_in_flight=2)
    fake.script(SUBMIT, *[accepts(f"task-{n}") for n in range(5)])
    fake.script(POLL, ready())

    assert len(provider.generate(drawing(running_job(db), count=5), Told())) == 5

    in_flight, most = 0, 0
    for request in fake.requests:
        in_flight += {SUBMIT: 1, PICTURE: -1}.get(request.path, 0)
        most = max(most, in_flight)
    assert most == 2
    provider.close()


def test_tasks_of_a_job_that_is_lost_do_not_count_for_ever(
    fake: FakeBfl, db: Database, clock: SkippingClock
) -> None:
    provider = provider_at(fake.url, db, clock, most_in_flight=1)
    lost, job = running_job(db), running_job(db)
    CloudTasks(db, "bfl", 1).intend(lost, 0, SUBMIT)  # and its process was killed
    told = Told(stop_after_s=20, clock=clock)
    with pytest.raises(Cancelled):  # it still counts while its job lives
        provider.generate(drawing(job), told)

    with db.session() as session:
        end(session, lost, "failed", None)

    assert len(provider.generate(drawing(job), Told())) == 1
    provider.close()
