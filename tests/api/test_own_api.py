"""Our own API: what BFL's lacks, on a started server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx

from tests.api.client import BflClient
from tests.broken import good_zip, picture
from tests.harness import Server


def events(lines: Iterator[str]) -> Iterator[tuple[str, int | None, dict[str, object]]]:
    """(kind, number, data) of a stream of server-sent events."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields.get("data"):
            number = int(fields["id"]) if "id" in fields else None
            yield fields["event"], number, json.loads(fields["data"])
            fields = {}


def test_a_finetune_is_followed_by_its_events_and_cancelled(client: BflClient) -> None:
    job = client.finetune(good_zip(), "followed", mode="general", iterations=1000)["id"]
    seen = []
    with client.http.stream("GET", f"/api/jobs/{job}/events", timeout=120) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for event in events(stream.iter_lines()):
            seen.append(event)
            if event[0] == "progress" and event[2].get("loss") and len(seen) < 1000:
                client.http.post(f"/api/jobs/{job}/cancel").raise_for_status()
                break
    resumed = []
    last = seen[-1][1]
    with client.http.stream("GET", f"/api/jobs/{job}/events", headers={"last-event-id": str(last)}) as stream:
        resumed = list(events(stream.iter_lines()))
    numbers = [number for _, number, _ in seen + resumed if number is not None]
    assert numbers == sorted(set(numbers)), "every event once, in order, across the two connections"
    assert resumed[-1] == ("end", None, {"state": "cancelled"})
    answer = client.poll(f"{client.url}/v1/get_result?id={job}")
    assert (answer["status"], answer["details"]["message"]) == ("Error", "The task was cancelled.")
    assert client.http.post(f"/api/jobs/{job}/cancel").json()["state"] == "cancelled"
    client.submit("delete_finetune", finetune_id=job)


def test_a_dataset_is_judged_for_a_base_model(client: BflClient) -> None:
    files = [("files", ("a.png", picture(size=(20, 20)))), ("files", ("b.png", picture(size=(20, 20))))]
    made = client.http.post("/api/datasets", data={"name": "small"}, files=files).json()
    address = f"/api/datasets/{made['id']}/verdicts"
    found = {one["code"]: one for one in client.http.get(address).json()}
    assert found["too-small"]["message"].startswith("2 pictures are smaller than the ")
    assert found["too-small"]["image_ids"] == [image["id"] for image in made["images"]]
    assert found["too-few-pictures"]["hint"]
    assert client.http.get(address, params={"base_model": "no-such"}).status_code == 404
    assert client.http.get(f"/api/datasets/{'0' * 36}/verdicts").status_code == 404


def test_a_dataset_is_imported_listed_seen_and_deleted(client: BflClient) -> None:
    files = [("files", ("a.png", picture())), ("files", ("a.txt", b"tok, a red thing"))]
    made = client.http.post("/api/datasets", data={"name": "mine"}, files=files).json()
    assert [image["caption"] for image in made["images"]] == ["tok, a red thing"]
    assert made["id"] in [item["id"] for item in client.http.get("/api/datasets").json()]
    address = f"/api/datasets/{made['id']}"
    seen = client.http.get(f"{address}/images/{made['images'][0]['id']}/thumbnail")
    assert (seen.headers["content-type"], seen.content[:4]) == ("image/webp", b"RIFF")
    client.http.delete(address).raise_for_status()
    assert client.http.get(address).status_code == 404
    assert client.http.get(f"{address}/images/{made['images'][0]['id']}/thumbnail").status_code == 404


def test_a_generation_of_several_pictures_is_fetched_one_by_one(client: BflClient) -> None:
    asked = {"model": "tiny", "prompt": "a pear", "width": 96, "height": 64, "count": 2, "seed": 5}
    made = client.http.post("/api/generations", json=asked).json()
    client.result(f"{client.url}/v1/get_result?id={made['id']}")
    done = client.http.get(f"/api/generations/{made['id']}").json()
    assert [output["seed"] for output in done["outputs"]] == [5, 6]
    first, second = (
        client.fetch(f"{client.url}/api/generations/{made['id']}/pictures/{n}")[0] for n in (0, 1)
    )
    assert first.size == second.size == (96, 64)
    assert first.tobytes() != second.tobytes()
    assert client.http.get(f"/api/generations/{made['id']}/pictures/2").status_code == 404
    assert client.http.get("/api/generations", params={"limit": 1}).json()[0]["id"] == made["id"]


def test_models_are_listed_and_a_lora_is_downloaded(client: BflClient, finetune_id: str) -> None:
    models = {model["id"]: model for model in client.http.get("/api/models").json()}
    assert models["tiny"]["kind"] == "base"
    assert models[finetune_id]["base_model"] == "tiny"
    file = client.http.get(f"/api/models/{finetune_id}/file")
    assert len(file.content) == models[finetune_id]["size_bytes"]
    assert f'filename="{finetune_id}.safetensors"' in file.headers["content-disposition"]
    assert client.http.get("/api/models/tiny/file").status_code == 404


def test_unknown_things_are_404_in_words(server: Server) -> None:
    with httpx.Client(base_url=server.url) as http:
        for path in (
            "jobs/x",
            "jobs/x/events",
            "datasets/x",
            "finetunes/x",
            "generations/x",
            "models/x/file",
        ):
            answer = http.get(f"/api/{path}")
            assert answer.status_code == 404, path
            assert "'x'" in answer.json()["message"]


def test_odd_ids_and_numbers_are_refused_in_words(client: BflClient, finetune_id: str) -> None:
    for path in ("jobs/%00", "datasets/%00", "finetunes/%F0%9F%8D%8E", "generations/" + "x" * 5_000):
        assert client.http.get(f"/api/{path}").status_code == 404, path
    assert client.http.get("/api/generations", params={"limit": 10**30}).status_code == 422
    events_of_it = f"/api/jobs/{finetune_id}/events"
    assert client.http.get(events_of_it, params={"after": 10**30}).status_code == 422
    assert client.http.get(events_of_it, headers={"last-event-id": "9" * 30}).status_code == 422
    json_body = {"content-type": "application/json"}
    for body in (b'{"dataset_id": "\\ud800", "name": "x"}', b'{"dataset_id": "x", "name": "\\ud800"}'):
        assert client.http.post("/api/finetunes", content=body, headers=json_body).status_code == 422, body
    for body in (b'{"model": "\\ud800"}', b'{"prompt": "\\ud800"}', b'{"seed": 1e400}'):
        assert client.http.post("/api/generations", content=body, headers=json_body).status_code == 422, body
