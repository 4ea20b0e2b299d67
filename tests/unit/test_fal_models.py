"""fal's models among ours: quoted, accepted, trained in a job, kept as a file, and drawn with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from fluxsmith.cli.app import app
from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.core.actor import LOCAL_OWNER as ME
from fluxsmith.errors import UnsupportedError, ValidationError
from fluxsmith.services.inference import GenerationRequest
from fluxsmith.web.app import create_api
from tests.clouds import carry_out
from tests.fake_fal import DRAWS, KLEIN, LORA_PATH, TRAINER, FakeFal, lora_file
from tests.harness import free_port, picture

KEY = "fal-id:fal-secret-0123456789"


@pytest.fixture
def fal() -> Iterator[FakeFal]:
    server = FakeFal()
    yield server
    server.close()


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path, fal: FakeFal) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        models_dir=models_dir,
        model="tiny",
        port=free_port(),
        fal_key=KEY,
        fal_base_url=fal.url,
    )


@pytest.fixture
def services(settings: Settings) -> Iterator[ServiceContainer]:
    made = ServiceContainer(settings)
    yield made
    made.close()


@pytest.fixture
def http(services: ServiceContainer) -> Iterator[TestClient]:
    with TestClient(create_api(services), base_url="http://127.0.0.1") as client:
        yield client


def asked(http: TestClient, **more: object) -> dict[str, object]:
    """A finetune's request on two fresh pictures."""
    files = [("files", (f"{n}.png", picture(n), "image/png")) for n in (1, 2)]
    dataset = http.post("/api/datasets", data={"name": "mugs"}, files=files).json()
    return {
        "dataset_id": dataset["id"],
        "name": "My mug",
        "base_model": KLEIN,
        "parameters": {"steps": 200},
        **more,
    }


def test_without_a_key_there_is_no_fal(settings: Settings) -> None:
    services = ServiceContainer(settings.model_copy(update={"fal_key": None}))
    assert not any(model.id.startswith("fal/") for model in services.models.list(ME))
    services.close()


def test_the_models_of_fal_are_listed_without_a_call(services: ServiceContainer, fal: FakeFal) -> None:
    listed = {model.id: model for model in services.models.list(ME)}
    assert {"fal/flux-3-klein-base", KLEIN, "fal/flux-2-klein-base-9b", "fal/flux-2-dev"} <= set(listed)
    assert listed[KLEIN].trainable
    assert fal.requests == []


def test_a_finetune_is_quoted_accepted_trained_kept_and_drawn_with(
    http: TestClient, services: ServiceContainer, fal: FakeFal
) -> None:
    quote = http.get("/api/finetunes/quote", params={"base_model": KLEIN, "steps": 200}).json()
    assert quote["cost_usd"] == 0.92
    assert "0.92 USD" in quote["words"]

    started = http.post("/api/finetunes", json=asked(http, accepted_cost_usd=quote["cost_usd"])).json()
    assert started["facts"] == {"accepted_cost_usd": 0.92}
    carry_out(services, started["id"])

    done = http.get(f"/api/finetunes/{started['id']}").json()
    assert done["job"]["state"] == "done"
    facts = done["facts"]
    assert (facts["request_id"], facts["trainer"]) == ("req-1", TRAINER[1:])
    assert (facts["price_usd"], facts["accepted_cost_usd"]) == (0.92, 0.92)
    assert http.get(f"/api/models/{started['id']}/file").content == lora_file()

    body = {"model": started["id"], "prompt": "TOK", "width": 512, "height": 512, "strength": 0.8}
    drawn = http.post("/api/generations", json=body).json()
    carry_out(services, drawn["id"])
    assert http.get(f"/api/generations/{drawn['id']}").json()["job"]["state"] == "done"
    assert fal.seen(DRAWS)[0].json["loras"] == [{"path": fal.url + LORA_PATH, "scale": 0.8}]


@pytest.mark.parametrize(
    ("accepted", "code"),
    [(None, "cost-not-accepted"), (0.91, "cost-above-accepted"), (0, "cost-above-accepted")],
)
def test_a_cost_that_is_not_accepted_starts_nothing_and_says_the_price(
    http: TestClient, services: ServiceContainer, fal: FakeFal, accepted: float | None, code: str
) -> None:
    answer = http.post("/api/finetunes", json=asked(http, accepted_cost_usd=accepted))
    assert answer.status_code == 422
    assert "0.92 USD" in answer.text
    assert "Nothing was started" in answer.text
    assert services.finetuning.list(ME) == []
    assert fal.requests == []
    with pytest.raises(ValidationError) as caught:
        from fluxsmith.services.finetuning import FinetuneRequest

        services.finetuning.start(ME, FinetuneRequest.model_validate(asked(http, accepted_cost_usd=accepted)))
    assert caught.value.code == code


def test_bfls_api_never_spends_at_fal(settings: Settings, fal: FakeFal) -> None:
    import base64
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("1.png", picture(1))
    services = ServiceContainer(settings.model_copy(update={"model": KLEIN}))
    with TestClient(create_api(services), base_url="http://127.0.0.1") as http:
        body = {
            "file_data": base64.b64encode(packed.getvalue()).decode(),
            "finetune_comment": "mug",
            "mode": "product",
        }
        answer = http.post("/v1/finetune", json=body)
    assert answer.status_code == 422
    assert "USD" in answer.text
    assert fal.requests == []
    services.close()


def test_what_costs_nothing_needs_no_acceptance(services: ServiceContainer) -> None:
    assert services.finetuning.quote("tiny", 300).cost_usd is None


def test_a_lora_of_fal_is_put_on_a_base_of_this_machine(
    http: TestClient, services: ServiceContainer, fal: FakeFal
) -> None:
    started = http.post("/api/finetunes", json=asked(http, accepted_cost_usd=1)).json()
    carry_out(services, started["id"])
    request = GenerationRequest(model=started["id"], base_model="tiny", prompt="TOK", width=64, height=64)
    generation = services.inference.generate(ME, request)
    assert generation.job.queue == "generate"
    with pytest.raises(Exception, match="does not fit"):  # the engine looked at the file, not at fal
        carry_out(services, generation.id)
    assert fal.seen(DRAWS) == []


def test_a_lora_that_only_its_provider_has_is_not_drawn_elsewhere(services: ServiceContainer) -> None:
    from fluxsmith.services.models import LinkRequest

    asked_for = LinkRequest(base_model=KLEIN, remote_id="https://v3.fal.media/files/x", name="Mug")
    linked = services.models.link(ME, asked_for)
    with pytest.raises(UnsupportedError) as caught:
        services.inference.generate(ME, GenerationRequest(model=linked.id, base_model="tiny"))
    assert caught.value.code == "lora-elsewhere"


def test_the_shell_refuses_without_a_terminal_and_trains_when_the_cost_is_given(
    settings: Settings, fal: FakeFal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.for_child().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "1.png").write_bytes(picture(1))
    arguments = ["finetune", str(tmp_path / "1.png"), "--base", KLEIN, "--steps", "200", "--json"]

    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, ValidationError)
    assert "--accept-cost 0.92" in refused.exception.hint
    assert fal.requests == []

    trained = CliRunner().invoke(app, [*arguments, "--accept-cost", "0.92"])
    assert trained.exit_code == 0, trained.output
    done = json.loads(trained.stdout)
    assert Path(done["file"]).read_bytes() == lora_file()
    assert done["facts"]["request_id"] == "req-1"
