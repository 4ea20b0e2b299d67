"""The finetuning workflow of BFL's documentation of 2025, by plain HTTP against a started server."""

from __future__ import annotations

import re
import time

import httpx
import pytest

from tests.api.client import BflClient
from tests.broken import good_zip
from tests.harness import Server


def test_a_finetune_is_submitted_polled_used_and_deleted(client: BflClient) -> None:
    task = client.finetune(good_zip(), "workflow", mode="style", iterations=100, trigger_word="TOK")
    assert task["id"] == task["finetune_id"]
    finetune = task["finetune_id"]
    assert task["polling_url"] == f"{client.url}/v1/get_result?id={finetune}"

    polls = client.follow(task["polling_url"])
    progress = [poll["progress"] for poll in polls]
    assert progress == sorted(progress)
    assert len({share for share in progress if 0 < share < 1}) >= 2, "progress does not move"
    assert polls[-1]["status"] == "Ready"
    assert polls[-1]["result"] == {
        "finetune_id": finetune,
        "finetune_comment": "workflow",
        "trigger_word": "TOK",
    }
    assert finetune in client.get("my_finetunes").json()["finetunes"]

    result = client.result(
        client.submit("flux-pro-finetuned", finetune_id=finetune, prompt="a TOK apple")["polling_url"]
    )
    picture, content_type = client.fetch(result["sample"])
    assert (picture.size, content_type, picture.format) == ((1024, 768), "image/jpeg", "JPEG")

    deleted = client.submit("delete_finetune", finetune_id=finetune)
    assert deleted["deleted_finetune_id"] == finetune
    assert all(isinstance(deleted[name], str) and deleted[name] for name in ("status", "message"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", deleted["timestamp"])
    assert finetune not in client.get("my_finetunes").json()["finetunes"]
    assert client.poll(task["polling_url"])["status"] == "Task not found"
    assert client.get("finetune_details", finetune_id=finetune).status_code == 404
    client.refuse("delete_finetune", 404, finetune_id=finetune)
    refusal = client.refuse("flux-pro-finetuned", 409, finetune_id=finetune)
    assert refusal["message"] == "The model 'workflow' was deleted."


def test_finetune_details_give_every_submitted_parameter_but_the_pictures(
    client: BflClient,
) -> None:
    asked = {
        "trigger_word": "ZWX",
        "mode": "product",
        "iterations": 100,
        "learning_rate": 0.0002,
        "captioning": False,
        "priority": "speed",
        "finetune_type": "lora",
        "lora_rank": 16,
    }
    finetune = client.finetune(good_zip(3), "details of it", **asked)["finetune_id"]
    details = client.get("finetune_details", finetune_id=finetune).json()["finetune_details"]
    assert details["finetune_comment"] == "details of it"
    assert {name: details[name] for name in asked} == asked
    assert details["pictures"] == 3
    assert details["status"] == "Pending"
    assert "file_data" not in details
    client.submit("delete_finetune", finetune_id=finetune)


def test_strength_zero_draws_what_the_base_model_draws(client: BflClient, finetune_id: str) -> None:
    asked = {"prompt": "a red apple", "seed": 7, "steps": 3, "guidance": 2.0, "output_format": "png"}
    base = client.draw("flux-dev", **asked)
    without = client.draw("flux-pro-finetuned", finetune_id=finetune_id, finetune_strength=0, **asked)
    with_it = client.draw("flux-pro-finetuned", finetune_id=finetune_id, finetune_strength=2, **asked)
    assert without.tobytes() == base.tobytes()
    assert with_it.tobytes() != base.tobytes()


def test_the_same_seed_draws_the_same_picture_and_is_told(client: BflClient) -> None:
    def draw(**more: object) -> tuple[bytes, int]:
        task = client.submit("flux-dev", prompt="a pear", steps=2, output_format="png", **more)
        result = client.result(task["polling_url"])
        return client.fetch(result["sample"])[0].tobytes(), result["seed"]

    first, seed = draw()
    assert draw(seed=seed) == (first, seed)
    assert draw(seed=seed + 2**32) == (first, seed), "longer seeds are cut to 32 bits"
    assert draw(seed=seed ^ 1)[0] != first


@pytest.mark.parametrize("output_format", ["jpeg", "png"])
def test_pictures_have_exactly_the_size_and_format_asked_for(client: BflClient, output_format: str) -> None:
    task = client.submit("flux-pro-1.1", prompt="x", width=288, height=416, output_format=output_format)
    last = client.follow(task["polling_url"])[-1]
    picture, content_type = client.fetch(last["result"]["sample"])
    assert (picture.size, content_type) == ((288, 416), f"image/{output_format}")
    assert last["details"]["native_width"] < 288, "the tiny model draws smaller, and the details say so"
    assert last["result"]["duration"] > 0


def test_klein_chooses_the_size_itself_when_none_is_given(client: BflClient) -> None:
    assert client.draw("flux-2-klein-4b", prompt="a pear").size == (1024, 1024)
    assert client.draw("flux-2-klein-4b", prompt="a pear", width=272, height=0).size == (272, 1024)


def test_defaults_nulls_and_unknown_fields_pass(client: BflClient, finetune_id: str) -> None:
    client.submit("flux-pro-1.1")
    client.submit("flux-pro-1.1", prompt=None, image_prompt=None, seed=None, width=None, webhook_url=None)
    client.submit("flux-dev", steps=None, guidance=None, output_format=None, aspect_ratio="1:1", nonsense={})
    client.submit("flux-pro-finetuned", finetune_id=finetune_id, seed=None, image_prompt="")
    last = client.submit("flux-2-klein-4b", prompt="", input_image=None, width=0, height=0)
    assert client.result(last["polling_url"] + "&attempt=3")["prompt"] == ""


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-KEY": "any"},
        {"Authorization": "Bearer any"},
        {"Authorization": "X-Key any"},
        {"Accept": "image/*"},
        {"Accept": "application/json"},
    ],
)
def test_any_key_or_none_and_any_accept_header_will_do(server: Server, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=server.url, headers=headers) as http:
        answer = http.post("/v1/flux-pro-1.1", json={"prompt": "a pear", "width": 256, "height": 256})
        assert answer.status_code == 200, answer.text
        assert http.get(answer.json()["polling_url"]).json()["id"] == answer.json()["id"]


def test_the_polling_address_is_the_one_that_the_client_used(server: Server) -> None:
    with httpx.Client(base_url=f"http://localhost:{server.port}") as http:
        answer = http.post("/v1/flux-pro-1.1", json={"width": 256, "height": 256}).json()
    assert answer["polling_url"] == f"http://localhost:{server.port}/v1/get_result?id={answer['id']}"


def test_unknown_tasks_are_not_found_in_words_not_by_status(client: BflClient) -> None:
    for task in ("00000000-0000-4000-8000-000000000000", "x", "%00", "'; drop table jobs; --"):
        answer = client.poll(f"{client.url}/v1/get_result?id={task}")
        assert answer["status"] == "Task not found"
        assert answer["result"] is None


def test_submitting_and_polling_answer_at_once_while_a_training_runs(client: BflClient) -> None:
    task = client.finetune(good_zip(), "busy", mode="general", iterations=1000)
    while client.poll(task["polling_url"])["progress"] == 0.0:
        time.sleep(0.05)
    for _ in range(5):  # BFL's clients give up after 5 s at the earliest
        answer = client.http.post("/v1/flux-pro-1.1", json={"width": 256, "height": 256}, timeout=5)
        assert answer.status_code == 200
        client.keyless.get(answer.json()["polling_url"], timeout=5)
    deleted = client.submit("delete_finetune", finetune_id=task["id"])
    assert deleted["deleted_finetune_id"] == task["id"]
