"""One fluxsmith as the cloud of another: both really started, nothing between them but BFL's API."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from fluxsmith.core.actor import LOCAL_OWNER
from tests.api.client import BflClient
from tests.clouds import KEY, KLEIN
from tests.harness import Server, picture, until

Json = dict[str, Any]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, server: Server) -> Iterator[Server]:
    """A server whose cloud is the shared server."""
    cloud = {"FLUXSMITH_BFL_API_KEY": KEY, "FLUXSMITH_BFL_BASE_URL": server.url}
    started = Server(tmp_path_factory.mktemp("studio"), models_dir, environment=cloud).start()
    yield started.wait_ready()
    started.stop()


@pytest.fixture(scope="module")
def http(studio: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=studio.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def model_id(studio: Server, http: httpx.Client) -> str:
    """A finetune that the studio has had trained at the cloud; its worker is killed meanwhile."""
    files = [("files", (f"{n}.png", picture(n), "image/png")) for n in range(3)]
    dataset = http.post("/api/datasets", data={"name": "mugs"}, files=files).json()
    asked = {
        "dataset_id": dataset["id"],
        "name": "My mug",
        "base_model": "bfl/flux-pro",
        "parameters": {"steps": 120, "sample_every": 0},
    }
    started = http.post("/api/finetunes", json=asked).json()
    assert started["provider"] == "bfl", started
    until(lambda: " at 127.0.0.1" in job(http, started["id"])["stage"], "the training at the cloud")
    assert studio.kill("worker")
    ended(http, started["id"])
    assert job(http, started["id"])["step"] == 120
    return str(started["id"])


def job(http: httpx.Client, job_id: str) -> Json:
    return dict(http.get(f"/api/jobs/{job_id}").json())


def ended(http: httpx.Client, job_id: str) -> None:
    until(lambda: job(http, job_id)["ended_at"] is not None, "the end of the job", every_s=0.2)
    assert job(http, job_id)["state"] == "done", job(http, job_id)


def draw(http: httpx.Client, **asked: Any) -> Image.Image:
    started = http.post("/api/generations", json=asked).json()
    assert "id" in started, started
    ended(http, started["id"])
    answer = http.get(f"/api/generations/{started['id']}/pictures/0")
    return Image.open(io.BytesIO(answer.content))


def test_a_picture_is_drawn_by_the_other_one(http: httpx.Client, server: Server) -> None:
    before = {generation.id for generation in server.services.inference.list(LOCAL_OWNER)}

    drawn = draw(http, model=KLEIN, prompt="tok", width=96, height=64, seed=5)

    assert drawn.size == (96, 64)
    there = [one for one in server.services.inference.list(LOCAL_OWNER) if one.id not in before]
    assert [(one.prompt, one.seed, one.width, one.height) for one in there] == [("tok", 5, 96, 64)]


def test_a_finetune_is_trained_once_by_the_other_one_though_the_worker_was_killed(
    http: httpx.Client, client: BflClient, model_id: str
) -> None:
    known = {model["id"]: model for model in http.get("/api/models").json()}
    remote_id = known[model_id]["remote_id"]
    comment = f"My mug [{model_id[:13]}]"
    comments = [
        client.get("finetune_details", finetune_id=finetune_id).json()["finetune_details"]["finetune_comment"]
        for finetune_id in client.get("my_finetunes").json()["finetunes"]
    ]
    assert remote_id in client.get("my_finetunes").json()["finetunes"]
    assert comments.count(comment) == 1
    assert http.get(f"/api/models/{model_id}/file").status_code == 422


def test_the_finetune_is_drawn_with_by_its_id(http: httpx.Client, model_id: str) -> None:
    asked = {"model": model_id, "prompt": "TOK", "width": 256, "height": 256, "seed": 5}
    assert draw(http, **asked, strength=2.0).tobytes() != draw(http, **asked, strength=0.0).tobytes()


def test_what_the_other_one_refuses_is_said_in_its_words(
    http: httpx.Client, client: BflClient, model_id: str
) -> None:
    known = {model["id"]: model for model in http.get("/api/models").json()}
    assert client.post("delete_finetune", finetune_id=known[model_id]["remote_id"]).status_code == 200

    started = http.post("/api/generations", json={"model": model_id, "prompt": "tok"}).json()

    until(lambda: job(http, started["id"])["ended_at"] is not None, "the end of the job", every_s=0.2)
    error = job(http, started["id"])["error"]
    assert error is not None
    assert "My mug" in error["message"]
    assert "was deleted" in error["message"]
