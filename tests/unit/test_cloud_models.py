"""BFL's models among ours: chosen by name, drawn in a job, finetunes linked, and a line of the doctor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.core.actor import LOCAL_OWNER as ME
from fluxsmith.core.actor import Actor
from fluxsmith.errors import NotFoundError, UnsupportedError
from fluxsmith.providers.base import FinetuneParameters
from fluxsmith.services.datasets import Upload
from fluxsmith.services.doctor import Check, examine
from fluxsmith.services.finetuning import FinetuneRequest
from fluxsmith.services.inference import Generation, GenerationRequest
from fluxsmith.services.models import LinkRequest
from fluxsmith.web.app import create_api
from tests.clouds import KEY, KLEIN, carry_out
from tests.fake_bfl import FakeBfl, accepts, image, ready, says, sends
from tests.harness import free_port, picture

SUBMIT, POLL, PICTURE = "/v1/flux-2-klein-4b", "/v1/get_result", "/pictures/1"


@pytest.fixture
def fake(fake: FakeBfl) -> FakeBfl:
    """The fake, with a script in which all goes well."""
    for path in (SUBMIT, f"{SUBMIT}-finetuned", "/v1/flux-pro-finetuned"):
        fake.script(path, accepts())
    fake.script(POLL, ready())
    fake.script(PICTURE, sends(image(), "image/png"))
    return fake


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path, fake: FakeBfl) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        models_dir=models_dir,
        model="tiny",
        port=free_port(),
        bfl_api_key=KEY,
        bfl_base_url=fake.url,
    )


@pytest.fixture
def services(settings: Settings) -> Iterator[ServiceContainer]:
    made = ServiceContainer(settings)
    yield made
    made.close()


def test_without_a_key_there_is_no_cloud(settings: Settings) -> None:
    services = ServiceContainer(settings.model_copy(update={"bfl_api_key": None}))
    assert not any(model.id.startswith("bfl/") for model in services.models.list(ME))
    services.close()


def test_the_models_of_the_cloud_are_listed_after_ours_without_a_call(
    services: ServiceContainer, fake: FakeBfl
) -> None:
    models = services.models.list(ME)
    assert models[0].provider == "local"
    assert {"bfl/flux-2-klein-4b", "bfl/flux-2-pro", "bfl/flux-pro-1.1"} <= {model.id for model in models}
    assert fake.requests == []


def test_a_picture_of_a_cloud_model_is_a_generation_like_any_other(
    services: ServiceContainer, fake: FakeBfl
) -> None:
    asked = GenerationRequest(model=KLEIN, prompt="a cup", width=96, height=64, seed=7)
    started = services.inference.generate(ME, asked)
    assert started.job.queue == "io"  # it only waits, so it holds up nobody who draws here

    carry_out(services, started.id)

    done = services.inference.get(ME, started.id)
    assert done.job.state == "done"
    with Image.open(services.inference.output(ME, started.id, 0)) as drawn:
        assert drawn.size == (96, 64)
    assert fake.seen(SUBMIT)[0].json["prompt"] == "a cup"


def draw(services: ServiceContainer, **asked: object) -> Generation:
    """A cloud's picture, drawn to its end."""
    values = {"model": KLEIN, "prompt": "a cup", "width": 96, "height": 64, "seed": 2**32 - 1, **asked}
    started = services.inference.generate(ME, GenerationRequest.model_validate(values))
    carry_out(services, started.id)
    done = services.inference.get(ME, started.id)
    assert done.job.state == "done"
    return done


def test_the_same_picture_is_not_paid_for_twice_unless_asked_anew(
    services: ServiceContainer, fake: FakeBfl
) -> None:
    first = draw(services)
    again = draw(services, output_format="jpeg")
    assert len(fake.seen(SUBMIT)) == 1
    assert [one.reused_from for one in again.outputs] == [first.id]
    assert any("not paid for again" in str(one.data) for one in services.jobs.events(again.id, 0))

    services.inference.delete(ME, first.id)
    services.storage.delete_prefix(f"generations/{first.id}")
    third = draw(services)
    assert [one.reused_from for one in third.outputs] == [first.id], "the copy is a file of its own"
    assert len(fake.seen(SUBMIT)) == 1
    with TestClient(create_api(services), base_url="http://127.0.0.1:7860") as http:
        assert "fluxsmith_cloud_calls_saved_total 2.0" in http.get("/metrics").text

    assert draw(services, anew=True).outputs[0].reused_from is None
    assert len(fake.seen(SUBMIT)) == 2


@pytest.mark.parametrize(
    "other", [{"seed": 8}, {"prompt": "a mug"}, {"width": 112}, {"count": 2}, {"model": "bfl/flux-2-pro"}]
)
def test_another_picture_is_asked_for(
    services: ServiceContainer, fake: FakeBfl, other: dict[str, object]
) -> None:
    fake.script("/v1/flux-2-pro", accepts())
    draw(services)
    asked = len(fake.requests)
    assert draw(services, **other).outputs[0].reused_from is None
    assert len(fake.requests) > asked


def test_a_picture_whose_file_is_gone_or_that_is_somebody_elses_is_asked_for(
    services: ServiceContainer, fake: FakeBfl
) -> None:
    first = draw(services)
    services.storage.delete(first.outputs[0].storage_key)
    assert draw(services).outputs[0].reused_from is None
    stranger = Actor(id="stranger", name="A stranger")
    values = {"model": KLEIN, "prompt": "a cup", "width": 96, "height": 64, "seed": 2**32 - 1}
    started = services.inference.generate(stranger, GenerationRequest.model_validate(values))
    carry_out(services, started.id)
    assert services.inference.get(stranger, started.id).outputs[0].reused_from is None
    assert len(fake.seen(SUBMIT)) == 3


def test_a_finetune_that_bfl_keeps_is_linked_and_drawn_with(
    services: ServiceContainer, fake: FakeBfl
) -> None:
    asked = LinkRequest(base_model=KLEIN, remote_id="my-org/mug", name="My mug", trigger_word="TOK")
    linked = services.models.link(ME, asked)

    listed = services.models.list(ME)[-1]
    assert (listed.name, listed.kind, listed.remote_id, listed.provider) == (
        "My mug",
        "lora",
        "my-org/mug",
        "bfl",
    )
    started = services.inference.generate(ME, GenerationRequest(model=linked.id, prompt="TOK", strength=1.2))
    carry_out(services, started.id)

    sent = fake.seen(f"{SUBMIT}-finetuned")[0].json
    assert (sent["finetune_id"], sent["finetune_strength"]) == ("my-org/mug", 1.2)
    with pytest.raises(UnsupportedError) as caught:
        services.models.file(ME, linked.id)
    assert caught.value.code == "lora-elsewhere"
    services.models.delete(ME, linked.id)
    assert linked.id not in {model.id for model in services.models.list(ME)}


@pytest.mark.parametrize("base", ["tiny", "bfl/flux-2-pro"])
def test_a_finetune_is_linked_only_to_a_base_that_draws_with_it(
    services: ServiceContainer, base: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        services.models.link(ME, LinkRequest(base_model=base, remote_id="mug", name="My mug"))
    assert "bfl/flux-2-klein-4b" in caught.value.hint


def test_a_model_that_draws_only_with_a_finetune_is_refused_alone(services: ServiceContainer) -> None:
    with pytest.raises(UnsupportedError) as caught:
        services.inference.generate(ME, GenerationRequest(model="bfl/flux-2-klein-base-4b"))
    assert caught.value.code == "finetune-needed"


def finetune(services: ServiceContainer, **changes: object) -> str:
    dataset = services.datasets.create(ME, "mugs", [Upload("1.png", picture(1)), Upload("2.png", picture(2))])
    values = {
        "dataset_id": dataset.id,
        "name": "My mug",
        "base_model": "bfl/flux-pro",
        "parameters": FinetuneParameters(steps=150),
        **changes,
    }
    return services.finetuning.start(ME, FinetuneRequest.model_validate(values)).id


def test_a_finetune_at_another_fluxsmith_becomes_a_model_that_stays_there(
    services: ServiceContainer, fake: FakeBfl
) -> None:
    fake.script("/v1/finetune", says(200, {"id": "ft-1", "finetune_id": "ft-1"}))
    fake.script("/v1/finetune_details", says(200, {"finetune_details": {"iterations": 150}}))
    fake.script(POLL, says(200, {"status": "Ready", "result": {"finetune_id": "ft-1"}}), ready())
    finetune_id = finetune(services)
    assert services.finetuning.get(ME, finetune_id).provider == "bfl"
    assert services.jobs.get(finetune_id).queue == "io"  # the queue `train` stays free for this machine

    carry_out(services, finetune_id)

    model = services.models.get(ME, finetune_id)
    assert (model.name, model.remote_id, model.size_bytes) == ("My mug", "ft-1", None)
    started = services.inference.generate(ME, GenerationRequest(model=finetune_id, prompt="TOK", steps=20))
    carry_out(services, started.id)
    assert fake.seen("/v1/flux-pro-finetuned")[0].json["finetune_id"] == "ft-1"


def test_bfls_own_cloud_trains_nothing_and_names_the_way_around(settings: Settings) -> None:
    services = ServiceContainer(settings.model_copy(update={"bfl_base_url": "https://api.bfl.ai"}))
    with pytest.raises(UnsupportedError) as caught:
        finetune(services)
    assert "fluxsmith models publish" in caught.value.hint
    services.close()


def test_a_finetune_goes_to_nobody_who_does_not_offer_its_base(services: ServiceContainer) -> None:
    with pytest.raises(UnsupportedError):
        finetune(services, provider="local")
    with pytest.raises(NotFoundError):
        finetune(services, provider="nobody")


def test_v1_draws_with_the_cloud_model_that_is_set(settings: Settings, fake: FakeBfl) -> None:
    services = ServiceContainer(settings.model_copy(update={"model": KLEIN}))
    with TestClient(create_api(services), base_url="http://127.0.0.1") as http:
        task = http.post("/v1/flux-pro-1.1", json={"prompt": "a cup", "width": 256, "height": 256}).json()
        carry_out(services, task["id"])
        answer = http.get("/v1/get_result", params={"id": task["id"]}).json()
    assert answer["status"] == "Ready"
    assert len(fake.seen(SUBMIT)) == 1
    services.close()


# The doctor.


def checked(settings: Settings) -> Check:
    return next(check for check in examine(settings) if check.name == "bfl")


def test_the_doctor_tells_the_credits(settings: Settings, fake: FakeBfl) -> None:
    fake.script("/v1/credits", says(200, {"credits": 1250.5}))
    check = checked(settings)
    assert check.state == "ok"
    assert "1250.5 credits are left" in check.found
    assert fake.requests[0].headers["x-key"] == KEY


def test_the_doctor_knows_another_fluxsmith_by_its_finetunes(settings: Settings, fake: FakeBfl) -> None:
    fake.script("/v1/my_finetunes", says(200, {"finetunes": ["a", "b"]}))
    assert "it has 2 finetunes" in checked(settings).found


def test_the_doctor_tells_a_refused_key(settings: Settings, fake: FakeBfl) -> None:
    fake.script("/v1/credits", says(401, {"detail": "Not authenticated"}))
    check = checked(settings)
    assert check.state == "bad"
    assert "BFL_API_KEY" in check.todo


def test_the_doctor_tells_a_host_that_cannot_be_reached(settings: Settings) -> None:
    away = settings.model_copy(update={"bfl_base_url": f"http://127.0.0.1:{free_port()}"})
    assert "cannot be reached" in checked(away).found


def test_the_doctor_looks_for_no_weights_of_a_model_that_is_elsewhere(settings: Settings) -> None:
    checks = examine(settings.model_copy(update={"model": KLEIN}))
    weights = next(check for check in checks if check.name == "weights")
    assert (weights.state, weights.found) == ("ok", f"{KLEIN} is drawn with elsewhere")


def test_the_doctor_asks_nobody_without_a_key(settings: Settings, fake: FakeBfl) -> None:
    names = {check.name for check in examine(settings.model_copy(update={"bfl_api_key": None}))}
    assert "bfl" not in names
    assert fake.requests == []
