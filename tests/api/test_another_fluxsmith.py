"""One fluxsmith as the cloud of another: both really started, nothing between them but BFL's API."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from fluxsmith.core.actor import LOCAL_OWNER
from fluxsmith.engine.folder import CARD
from tests.api.client import BflClient
from tests.clouds import KEY, KLEIN
from tests.harness import Server, picture, until
from tests.tiny import build_tiny_model

Json = dict[str, Any]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The other one: its tiny model follows pictures."""
    models = tmp_path_factory.mktemp("models")
    card = build_tiny_model(models / "painter", name="painter") / CARD
    uses = ["text", "image_prompt", "edit", "fill"]
    card.write_text(json.dumps({**json.loads(card.read_text()), "capabilities": uses}))
    started = Server(tmp_path_factory.mktemp("cloud"), models, {"FLUXSMITH_MODEL": "painter"}).start()
    yield started.wait_ready()
    started.stop()


@pytest.fixture(scope="module")
def client(cloud: Server) -> Iterator[BflClient]:
    """A client of the other one."""
    client = BflClient(cloud.url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, cloud: Server) -> Iterator[Server]:
    """The server whose cloud is the other one."""
    known = {"FLUXSMITH_BFL_API_KEY": KEY, "FLUXSMITH_BFL_BASE_URL": cloud.url}
    started = Server(tmp_path_factory.mktemp("studio"), models_dir, environment=known).start()
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


def failed(http: httpx.Client, **asked: Any) -> str:
    """What is read of a generation that fails."""
    started = http.post("/api/generations", json=asked).json()
    until(lambda: job(http, started["id"])["ended_at"] is not None, "the end of the job", every_s=0.2)
    error = job(http, started["id"])["error"]
    assert error is not None
    return str(error["message"])


def test_a_picture_is_drawn_by_the_other_one(http: httpx.Client, cloud: Server) -> None:
    before = {generation.id for generation in cloud.services.inference.list(LOCAL_OWNER)}

    drawn = draw(http, model=KLEIN, prompt="tok", width=96, height=64, seed=5)

    assert drawn.size == (96, 64)
    there = [one for one in cloud.services.inference.list(LOCAL_OWNER) if one.id not in before]
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


# Pictures that it follows.


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """Stripes in many colours, so that any change is seen anywhere."""
    made = Image.new("RGB", (128, 96))
    pen = ImageDraw.Draw(made)
    for number in range(32):
        colour = (8 * number, 255 - 7 * number, 90 + 3 * number)
        pen.rectangle((4 * number, 0, 4 * number + 3, 95), fill=colour)
    return made


@pytest.fixture(scope="module")
def mask() -> Image.Image:
    """White in a box, on the grid of what the model sees as one."""
    made = Image.new("L", (128, 96), 0)
    ImageDraw.Draw(made).rectangle((32, 32, 79, 63), fill=255)
    return made


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def shown(role: str, image: Image.Image) -> Json:
    """A picture to follow."""
    return {"role": role, "data": base64.b64encode(png(image)).decode()}


def changed(one: Image.Image, other: Image.Image) -> np.ndarray:
    """By how many levels each pixel differs."""
    levels = [np.asarray(image.convert("RGB")).astype(int) for image in (one, other)]
    difference: np.ndarray = np.abs(levels[0] - levels[1]).max(axis=2)
    return difference


def check_filled(drawn: Image.Image, photo: Image.Image, mask: Image.Image) -> None:
    """Nothing has changed outside the mask, and nearly everything inside."""
    assert drawn.size == photo.size
    difference, inside = changed(drawn, photo), np.asarray(mask) > 0
    assert difference[~inside].max() == 0
    assert (difference[inside] > 8).mean() > 0.8


def test_a_fill_by_the_other_one_changes_only_what_is_inside_the_mask(
    http: httpx.Client, photo: Image.Image, mask: Image.Image
) -> None:
    pictures = [shown("fill", photo), shown("mask", mask)]
    drawn = draw(http, model="bfl/flux-pro-1.0-fill", prompt="tok", seed=5, pictures=pictures)
    check_filled(drawn, photo, mask)


def test_a_fill_with_a_finetune_of_the_other_one_changes_only_what_is_inside_the_mask(
    http: httpx.Client, model_id: str, photo: Image.Image, mask: Image.Image
) -> None:
    pictures = [shown("fill", photo), shown("mask", mask)]
    check_filled(draw(http, model=model_id, prompt="TOK", seed=5, pictures=pictures), photo, mask)


def test_a_fill_is_asked_of_the_other_one_in_the_shell(
    studio: Server, photo: Image.Image, mask: Image.Image, tmp_path: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(png(photo))
    (tmp_path / "mask.png").write_bytes(png(mask))
    what = ["tok", "--model", "bfl/flux-pro-1.0-fill", "--fill", "photo.png", "--mask", "mask.png", "--json"]
    ended = subprocess.run(
        [sys.executable, "-m", "fluxsmith", "generate", *what],
        cwd=tmp_path,
        env=studio.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    check_filled(Image.open(tmp_path / json.loads(ended.stdout)["files"][0]), photo, mask)


def test_a_picture_that_the_other_one_expands_keeps_its_middle(
    http: httpx.Client, photo: Image.Image
) -> None:
    asked = {"pictures": [shown("fill", photo)], "expand": {"left": 32, "bottom": 16}}
    drawn = draw(http, model="bfl/flux-pro-1.0-fill", prompt="tok", seed=5, **asked)
    assert drawn.size == (160, 112)
    assert changed(drawn.crop((32, 0, 160, 96)), photo).max() == 0
    assert np.asarray(drawn.crop((0, 0, 32, 96))).std() > 4


@pytest.mark.parametrize(
    ("model", "role"), [(KLEIN, "edit"), ("bfl/flux-kontext-pro", "edit"), ("bfl/flux-dev", "image_prompt")]
)
def test_the_other_one_sees_what_is_shown(
    http: httpx.Client, cloud: Server, photo: Image.Image, model: str, role: str
) -> None:
    asked = {"model": model, "prompt": "tok", "width": 256, "height": 256, "seed": 5}
    alone = draw(http, **asked)
    with_it = draw(http, **asked, pictures=[shown(role, photo)])
    assert (changed(with_it, alone) > 0).mean() > 0.5
    (newest,) = cloud.services.inference.list(LOCAL_OWNER, limit=1)
    assert [one.role for one in newest.pictures] == [role]
    there = Image.open(cloud.services.inference.followed(LOCAL_OWNER, newest.id, 0))
    assert changed(there, photo).max() == 0


def test_what_the_other_ones_model_does_not_follow_is_said_in_its_words(
    http: httpx.Client, photo: Image.Image
) -> None:
    said = failed(http, model="bfl/flux-pro-1.0-canny", prompt="tok", pictures=[shown("canny", photo)])
    assert "cannot do what control_image asks for (canny)" in said


def test_what_the_other_one_refuses_is_said_in_its_words(
    http: httpx.Client, client: BflClient, model_id: str
) -> None:
    known = {model["id"]: model for model in http.get("/api/models").json()}
    assert client.post("delete_finetune", finetune_id=known[model_id]["remote_id"]).status_code == 200

    said = failed(http, model=model_id, prompt="tok")

    assert "My mug" in said
    assert "was deleted" in said
