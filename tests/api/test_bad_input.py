"""Bad input over HTTP: each refused in words, in BFL's error shape, with nothing half-made."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
import pytest

from tests.api.client import BflClient
from tests.broken import BROKEN_PICTURES, BROKEN_ZIPS, ODD_PICTURES, Broken, good_zip, zip_of
from tests.harness import Server

MB = 1_000_000


@contextmanager
def nothing_is_made(server: Server) -> Iterator[None]:
    """Neither rows nor files are left of what happens inside."""

    def everything() -> tuple[Any, ...]:
        with httpx.Client(base_url=server.url) as http:
            lists = [http.get(f"/api/{name}").json() for name in ("datasets", "finetunes", "generations")]
        ids = [[item["id"] for item in found] for found in lists]
        files = sorted(
            path for path in (server.data_dir / "files").rglob("*.png") if "datasets" in path.parts
        )
        return ids, files

    before = everything()
    yield
    assert everything() == before


def refused_finetune(client: BflClient, zipped: bytes, **more: Any) -> dict[str, Any]:
    body = {"file_data": base64.b64encode(zipped).decode(), "finetune_comment": "bad", "mode": "general"}
    return client.refuse("finetune", **{**body, **more})


def check_shape(answer: dict[str, Any], field: str) -> None:
    """A 422 as BFL's clients read it: `detail` is a list of places and words."""
    assert [set(item) for item in answer["detail"]] == [{"loc", "msg", "type"}] * len(answer["detail"])
    assert field in [item["loc"][-1] for item in answer["detail"]]
    assert answer["message"].endswith(".")
    assert answer["request_id"]


@pytest.mark.parametrize("case", [case for case in BROKEN_ZIPS if case.make()], ids=str)
def test_broken_zips_are_refused(client: BflClient, server: Server, case: Broken) -> None:
    with nothing_is_made(server):
        answer = refused_finetune(client, case.make())
    assert (answer["error"], answer["message"]) == (case.code, case.message)
    check_shape(answer, "file_data")


@pytest.mark.parametrize("case", BROKEN_PICTURES, ids=str)
def test_broken_pictures_are_refused_in_a_zip_and_alone(
    client: BflClient, server: Server, case: Broken
) -> None:
    data = case.make()
    good = {"good.png": ODD_PICTURES[-1].make()}
    with nothing_is_made(server):
        loose = client.http.post(
            "/api/datasets", data={"name": "bad"}, files=[("files", (case.filename, data))]
        )
        zipped = refused_finetune(client, zip_of({case.filename: data, **good}))
    assert loose.status_code == 422
    assert (loose.json()["error"], loose.json()["message"]) == (case.code, case.message)
    assert zipped["error"] in (case.code, "zip-unsupported-picture", "zip-bomb")


def test_odd_pictures_are_taken(client: BflClient) -> None:
    files = [("files", (f"{n:02}-{case.filename}", case.make())) for n, case in enumerate(ODD_PICTURES)]
    answer = client.http.post("/api/datasets", data={"name": "odd"}, files=files)
    assert answer.status_code == 200, answer.text
    sizes = [(image["width"], image["height"]) for image in answer.json()["images"]]
    assert sizes == [case.size for case in ODD_PICTURES]
    client.http.delete(f"/api/datasets/{answer.json()['id']}")


@pytest.mark.parametrize("text", ["", "   ", "no base64!", "QUJD=QUJD", "data:application/zip;base64,"])
def test_file_data_that_is_no_base64_is_refused(client: BflClient, text: str) -> None:
    answer = client.refuse("finetune", file_data=text, finetune_comment="bad", mode="general")
    assert answer["error"] == "bad-base64"
    check_shape(answer, "file_data")


def test_base64_with_line_breaks_and_a_prefix_is_taken(client: BflClient) -> None:
    text = "data:application/zip;base64," + base64.encodebytes(good_zip()).decode()
    task = client.submit("finetune", file_data=text, finetune_comment="breaks", mode="general")
    client.submit("delete_finetune", finetune_id=task["finetune_id"])


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("iterations", 99, "Iterations must be at least 100, not 99."),
        ("iterations", 1001, "Iterations must be at most 1000, not 1001."),
        ("iterations", 100.5, "Iterations must be a whole number, not 100.5."),
        ("lora_rank", 8, "Lora rank must be 16 or 32, not 8."),
        ("lora_rank", 64, "Lora rank must be 16 or 32, not 64."),
        ("learning_rate", 0, "Learning rate must be at least 1e-06, not 0."),
        ("learning_rate", 0.01, "Learning rate must be at most 0.005, not 0.01."),
        ("mode", "portrait", "Mode must be 'general', 'character', 'style' or 'product', not 'portrait'."),
        ("priority", "cheap", "Priority must be 'speed', 'quality' or 'high_res_only', not 'cheap'."),
        ("finetune_type", "dora", "Finetune type must be 'lora' or 'full', not 'dora'."),
        ("trigger_word", "", "Trigger word must not be empty."),
        ("trigger_word", "a\nb", "Trigger word must not contain control characters."),
        ("finetune_comment", "", "Name must not be empty."),
        ("finetune_comment", "x" * 201, "Name must have at most 200 characters, not 201."),
        ("mode", None, "Mode must be 'general', 'character', 'style' or 'product'."),
    ],
)
def test_parameters_of_a_finetune_have_limits(
    client: BflClient, server: Server, field: str, value: object, says: str
) -> None:
    with nothing_is_made(server):
        answer = refused_finetune(client, good_zip(2), **{field: value})
    assert answer["message"] == says
    check_shape(answer, field)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("steps", 0, "Steps must be at least 1, not 0."),
        ("steps", 51, "Steps must be at most 50, not 51."),
        ("guidance", 1.4, "Guidance must be at least 1.5, not 1.4."),
        ("guidance", 5.1, "Guidance must be at most 5, not 5.1."),
        ("width", 255, "Width must be a multiple of 32, not 255."),
        ("width", 224, "Width must be at least 256, not 224."),
        ("height", 1472, "Height must be at most 1440, not 1472."),
        ("height", "tall", "Height must be a whole number, not 'tall'."),
        ("finetune_strength", -0.1, "Finetune strength must be at least 0, not -0.1."),
        ("finetune_strength", 2.1, "Finetune strength must be at most 2, not 2.1."),
        ("safety_tolerance", 7, "Safety tolerance must be at most 6, not 7."),
        ("output_format", "gif", "Output format must be 'jpeg' or 'png', not 'gif'."),
        ("seed", "many", "Seed must be a whole number, not 'many'."),
        ("prompt", "x" * 100_000, "Prompt must have at most 10,000 characters, not 100,000."),
        ("prompt", "an apple\0", "Prompt must not contain NUL characters."),
        ("prompt", 7, "Prompt must be text."),
        ("finetune_id", None, "Finetune id must be text."),
    ],
)
def test_parameters_of_a_picture_have_limits(
    client: BflClient, server: Server, finetune_id: str, field: str, value: object, says: str
) -> None:
    with nothing_is_made(server):
        answer = client.refuse("flux-pro-finetuned", 422, **{"finetune_id": finetune_id, field: value})
    assert answer["message"] == says
    check_shape(answer, field)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ((48, 64), "Width must be at least 64, or 0 for automatic."),
        ((65, 64), "Width must be a multiple of 16, not 65."),
        ((2048, 2048), "Width × height must be at most 4,000,000 pixels, not 4,194,304."),
        ((-16, 64), "Width must be at least 0, not -16."),
    ],
)
def test_klein_has_limits_of_its_own(client: BflClient, size: tuple[int, int], says: str) -> None:
    answer = client.refuse("flux-2-klein-4b", prompt="x", width=size[0], height=size[1])
    assert answer["message"] == says


@pytest.mark.parametrize(
    "prompt",
    ["🦊🍎", "👩‍👩‍👧‍👦" * 20, "قطة", "a\tb\nc", "‮reversed", "x" * 10_000, "<script>alert(1)</script>"],
)
def test_odd_prompts_work(client: BflClient, prompt: str) -> None:
    task = client.submit("flux-pro-1.1", prompt=prompt, width=256, height=256)
    assert client.result(task["polling_url"])["prompt"] == prompt


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_prompt", "aGVsbG8="),
        ("webhook_url", "http://127.0.0.1:1/hook"),
    ],
)
def test_what_the_model_or_the_server_lacks_is_refused_not_ignored(
    client: BflClient, server: Server, finetune_id: str, field: str, value: object
) -> None:
    with nothing_is_made(server):
        for endpoint in ("flux-pro-1.1", "flux-dev", "flux-pro-finetuned"):
            answer = client.refuse(endpoint, 422, **{"finetune_id": finetune_id, field: value})
            assert field in answer["message"]
            assert answer["hint"]
            check_shape(answer, field)
        if field == "webhook_url":
            refused_finetune(client, good_zip(2), webhook_url=value)
        if field == "image_prompt":
            answer = client.refuse("flux-2-klein-4b", prompt="x", input_image_2=value)
            check_shape(answer, "input_image_2")


def test_models_that_are_not_there_yet_or_any_more_are_refused_in_words(
    client: BflClient, server: Server
) -> None:
    training = client.finetune(good_zip(2), "slow", mode="general", iterations=1000)["finetune_id"]
    with nothing_is_made(server):
        still = client.refuse("flux-pro-finetuned", 409, finetune_id=training)
        unknown = client.refuse("flux-pro-finetuned", 404, finetune_id="no-such-finetune")
        base = client.refuse("flux-pro-finetuned", 404, finetune_id="tiny")
        client.refuse("flux-pro-finetuned", 422, finetune_id="x" * 1000)
    assert still["message"] == f"The model '{training}' is still being trained."
    assert unknown["message"] == "There is no model 'no-such-finetune'."
    assert base["message"] == "There is no finetune 'tiny'."
    client.submit("delete_finetune", finetune_id=training)
    deleted = client.post("flux-pro-finetuned", finetune_id=training)
    assert deleted.status_code in (404, 409)
    assert training in deleted.json()["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b'{"prompt": "\xff"}', 400),
        (b'{"prompt": "\\ud800"}', 422),
        (b'{"finetune_id": "\\ud800"}', 422),
        (b'{"seed": NaN}', 422),
        (b'{"seed": 1e999}', 422),
        (b"[" * 100_000, 400),
    ],
)
def test_bodies_that_are_no_json_objects_are_refused(client: BflClient, body: bytes, status: int) -> None:
    for endpoint in ("flux-dev", "flux-pro-finetuned", "delete_finetune", "finetune"):
        answer = client.http.post(
            f"/v1/{endpoint}", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == status, answer.text
        assert answer.json()["message"]


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_200_mb_is_refused_without_being_kept(
    client: BflClient, server: Server, declared: bool
) -> None:
    web = psutil.Process(server.process.pid)
    before = web.memory_info().rss
    chunk = b"A" * MB

    def body() -> Iterator[bytes]:
        yield b'{"finetune_comment": "large", "mode": "general", "file_data": "'
        for _ in range(200):
            yield chunk
        yield b'"}'

    headers = {"content-type": "application/json"}
    if declared:
        headers["content-length"] = str(sum(map(len, body())))
    answer = client.http.post("/v1/finetune", content=body(), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["message"] == "The request is larger than 200 MB."
    assert "FLUXSMITH_MAX_UPLOAD_MB" in answer.json()["hint"]
    if declared:
        assert web.memory_info().rss - before < 50 * MB
    assert client.http.get("/healthz").status_code == 200


def test_a_declared_200_mb_is_refused_before_any_of_it_is_sent(server: Server) -> None:
    head = (
        f"POST /v1/finetune HTTP/1.0\r\nHost: 127.0.0.1:{server.port}\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/json\r\nContent-Length: {200 * MB + 1}\r\n\r\n"
    )
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode())
        while chunk := connection.recv(65_536):
            received += chunk
    status, _, body = received.partition(b"\r\n\r\n")
    assert b" 413 " in status.splitlines()[0]
    assert json.loads(body)["error"] == "body-too-large"
