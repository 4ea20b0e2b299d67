"""Webhooks against a started server and a real receiver: signed, repeated, listed, sent again, refused."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.client import BflClient
from tests.api.receiver import Receiver
from tests.broken import good_zip
from tests.harness import Server, until

SECRET = "a secret that no log may show"
GIVES_UP_AFTER_S = 4


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    """A server that sends webhooks to this machine too, and has little patience."""
    started = Server(
        tmp_path_factory.mktemp("hooked"),
        models_dir,
        environment={
            "FLUXSMITH_ALLOW_PRIVATE_ADDRESSES": "true",
            "FLUXSMITH_WEBHOOK_RETRY_S": "0.2",
            "FLUXSMITH_WEBHOOK_RETRY_MOST_S": "0.5",
            "FLUXSMITH_WEBHOOK_RETRY_FOR_S": str(GIVES_UP_AFTER_S),
            "FLUXSMITH_WEBHOOK_TIMEOUT_S": "5",
        },
    ).start()
    yield started.wait_ready()
    started.stop()


@pytest.fixture
def bfl(hooked: Server) -> Iterator[BflClient]:
    client = BflClient(hooked.url)
    yield client
    client.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver().start()
    yield started
    started.stop()


def submit(client: BflClient, receiver: Receiver, **more: Any) -> dict[str, Any]:
    body = {"prompt": "a pear", "width": 256, "height": 256, "webhook_url": receiver.url, **more}
    return client.submit("flux-dev", **body)


def webhook_of(client: BflClient, task: str) -> dict[str, Any]:
    listed = client.http.get("/api/webhooks", params={"limit": 1000}).json()
    (found,) = (webhook for webhook in listed if webhook["task_id"] == task)
    return dict(found)


def settled(client: BflClient, task: str, state: str) -> dict[str, Any]:
    until(lambda: webhook_of(client, task)["state"] == state, f"a webhook that is {state}", 60, 0.1)
    webhook = webhook_of(client, task)
    assert client.http.get(f"/api/webhooks/{webhook['id']}").json() == webhook
    return webhook


def test_the_end_of_a_task_is_told_signed_and_in_the_shape_of_a_poll(
    bfl: BflClient, receiver: Receiver, hooked: Server
) -> None:
    answer = submit(bfl, receiver, webhook_secret=SECRET)
    assert set(answer) == {"id", "status", "webhook_url", "polling_url"}
    assert (answer["status"], answer["webhook_url"]) == ("Pending", receiver.url)

    (told,) = receiver.wait_for(1)
    signature = hmac.new(SECRET.encode(), told.body, hashlib.sha256).hexdigest()
    assert told.headers["x-bfl-signature"] == f"sha256={signature}"
    assert (told.headers["content-type"], told.path) == ("application/json", "/hook?kind=test")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.json["timestamp"])
    sent = datetime.fromisoformat(told.json["timestamp"])
    assert abs((datetime.now(UTC) - sent).total_seconds()) < 60

    poll = bfl.poll(answer["polling_url"])
    assert set(told.json) == {*poll, "timestamp"}
    assert (told.json["id"], told.json["status"]) == (answer["id"], "Ready")
    assert told.json["result"]["seed"] == poll["result"]["seed"]
    assert bfl.fetch(told.json["result"]["sample"])[0].size == (256, 256)

    webhook = settled(bfl, answer["id"], "delivered")
    assert [attempt["status_code"] for attempt in webhook["attempts"]] == [200]
    assert webhook["signed"] is True
    assert told.headers["x-bfl-event-id"] == webhook["id"]
    assert SECRET not in str(webhook)
    assert SECRET not in hooked.log.read_text()
    assert len(receiver.received) == 1


def test_a_receiver_that_fails_is_asked_again_and_redirects_are_not_followed(
    bfl: BflClient, receiver: Receiver
) -> None:
    receiver.answers = [500, 302, 429]
    answer = submit(bfl, receiver)
    events = {told.headers["x-bfl-event-id"] for told in receiver.wait_for(4)}
    webhook = settled(bfl, answer["id"], "delivered")
    assert [attempt["status_code"] for attempt in webhook["attempts"]] == [500, 302, 429, 200]
    assert [attempt["number"] for attempt in webhook["attempts"]] == [1, 2, 3, 4]
    assert events == {webhook["id"]}
    assert receiver.elsewhere == []
    assert {told.path for told in receiver.received} == {"/hook?kind=test"}
    assert "x-bfl-signature" not in receiver.received[0].headers, "there is no secret to sign with"


def test_after_a_while_it_is_given_up_and_can_be_sent_again(bfl: BflClient, receiver: Receiver) -> None:
    receiver.answers = [503] * 1000
    answer = submit(bfl, receiver)
    failed = settled(bfl, answer["id"], "failed")
    assert len(failed["attempts"]) >= 3
    assert failed["next_at"] is None
    ended = datetime.fromisoformat(bfl.http.get(f"/api/jobs/{answer['id']}").json()["ended_at"])
    last = datetime.fromisoformat(failed["attempts"][-1]["at"])
    assert (last - ended).total_seconds() > GIVES_UP_AFTER_S - 1

    receiver.answers = []
    again = bfl.http.post(f"/api/webhooks/{failed['id']}/send").json()
    assert again["state"] == "sending"
    delivered = settled(bfl, answer["id"], "delivered")
    assert len(delivered["attempts"]) == len(failed["attempts"]) + 1
    assert receiver.received[-1].json["id"] == answer["id"]

    bfl.http.post(f"/api/webhooks/{failed['id']}/send").raise_for_status()
    until(lambda: len(webhook_of(bfl, answer["id"])["attempts"]) == len(delivered["attempts"]) + 1)


def test_a_receiver_that_says_gone_is_left_alone(bfl: BflClient, receiver: Receiver) -> None:
    receiver.answers = [410]
    webhook = settled(bfl, submit(bfl, receiver)["id"], "failed")
    assert [attempt["status_code"] for attempt in webhook["attempts"]] == [410]


def test_failures_are_told_with_code_and_words(bfl: BflClient, receiver: Receiver) -> None:
    moderated = submit(bfl, receiver, prompt="a corpse", safety_tolerance=0)
    (told,) = receiver.wait_for(1)
    assert (told.json["id"], told.json["status"]) == (moderated["id"], "Request Moderated")
    assert told.json["error"] == "request-moderated"
    assert "'corpse'" in told.json["message"]
    assert told.json["result"] is None


def test_a_finetune_has_webhooks_too_also_when_it_is_cancelled(bfl: BflClient, receiver: Receiver) -> None:
    task = bfl.finetune(good_zip(), "told", mode="general", iterations=1000, webhook_url=receiver.url)
    assert set(task) == {"id", "finetune_id", "status", "webhook_url", "polling_url"}
    waiting = webhook_of(bfl, task["id"])
    assert (waiting["state"], waiting["attempts"], waiting["signed"]) == ("waiting", [], False)
    early = bfl.http.post(f"/api/webhooks/{waiting['id']}/send")
    assert (early.status_code, early.json()["error"]) == (409, "task-not-ended")

    bfl.http.post(f"/api/jobs/{task['id']}/cancel").raise_for_status()
    (told,) = receiver.wait_for(1)
    assert (told.json["status"], told.json["error"]) == ("Error", "cancelled")
    assert (told.json["id"], told.json["message"]) == (task["id"], "The task was cancelled.")


def test_a_webhook_survives_the_end_of_the_worker(bfl: BflClient, receiver: Receiver, hooked: Server) -> None:
    receiver.stop()
    answer = submit(bfl, receiver)
    until(lambda: len(webhook_of(bfl, answer["id"])["attempts"]) >= 1, "a first attempt")
    assert hooked.kill("worker")
    assert "No answer" in webhook_of(bfl, answer["id"])["attempts"][0]["error"]
    receiver.start()
    assert receiver.wait_for(1)[0].json["id"] == answer["id"]
    settled(bfl, answer["id"], "delivered")


def test_unknown_webhooks_are_404_in_words(bfl: BflClient) -> None:
    for answer in (bfl.http.get("/api/webhooks/x"), bfl.http.post("/api/webhooks/x/send")):
        assert answer.status_code == 404
        assert answer.json()["message"] == "There is no webhook 'x'."


INSIDE = (
    "http://127.0.0.1:8080/hook",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0/",
    "https://localhost/",
    "https://studio.localhost/",
    "http://[::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.100.100.200/",
    "http://169.254.169.254/latest/meta-data",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://168.63.129.16/",
    "http://224.0.0.1/",
    "http://metadata.google.internal/",
)
NO_WEB_ADDRESS = (
    "https://me:pass@example.org/",
    "ftp://example.org/",
    "javascript:alert(1)",
    "nonsense",
    "",
    "https://" + "x" * 3000,
)


def test_addresses_inside_are_refused_before_anything_is_made(http: TestClient) -> None:
    for url in INSIDE:
        answer = http.post("/v1/flux-dev", json={"prompt": "x", "webhook_url": url})
        assert (answer.status_code, answer.json()["error"]) == (422, "address-refused"), url
        assert answer.json()["detail"][0]["loc"] == ["body", "webhook_url"]
        assert "FLUXSMITH_ALLOW_PRIVATE_ADDRESSES" in answer.json()["hint"]
    assert http.get("/api/generations").json() == []


def test_webhooks_go_to_web_addresses_only(http: TestClient) -> None:
    for url in NO_WEB_ADDRESS:
        answer = http.post("/v1/flux-dev", json={"prompt": "x", "webhook_url": url})
        assert answer.status_code == 422, url
        assert answer.json()["detail"][0]["loc"][-1] == "webhook_url"
