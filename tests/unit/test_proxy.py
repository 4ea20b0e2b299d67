"""The recording proxy between a client and a scripted host: what passes, what is kept, and what is not."""

from __future__ import annotations

import base64
import gzip
import json
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from fluxsmith.errors import ConflictError, StorageError
from fluxsmith.proxy import Keep, Recorder
from tests.fake_host import Exchange as Asked
from tests.fake_host import FakeHost, Move, cuts_off, damaged_gzip, image, resets, says, sends
from tests.harness import free_port
from tests.proxies import RunningProxy

KEY = "marked-key-0815-4711"
SUBMIT = "/v1/flux-dev"
StartProxy = Callable[..., RunningProxy]


@pytest.fixture
def host() -> Iterator[FakeHost]:
    server = FakeHost()
    yield server
    server.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartProxy]:
    started: list[RunningProxy] = []

    def proxy(to: str, **options: object) -> RunningProxy:
        started.append(RunningProxy(to, tmp_path / f"{len(started)}.jsonl", **options))  # type: ignore[arg-type]
        return started[-1]

    yield proxy
    for one in started:
        one.close()


def packed(body: object) -> Move:
    """Answer with JSON in gzip."""
    data = gzip.compress(json.dumps(body).encode())
    headers = {"content-encoding": "gzip"}
    return lambda exchange: exchange.answer(200, data, headers)


def test_an_exchange_passes_unchanged_and_becomes_a_line(host: FakeHost, start: StartProxy) -> None:
    host.script(SUBMIT, says(200, {"id": "a", "cost": None}, {"x-ratelimit-limit": "24"}))
    proxy = start(f"{host.url}/")
    answer = proxy.client.post(f"{SUBMIT}?a=b%20c", json={"prompt": "a cup", "seed": 7})

    assert (answer.json(), answer.headers["x-ratelimit-limit"]) == ({"id": "a", "cost": None}, "24")
    seen = host.requests[0]
    assert (seen.query, seen.json) == ("a=b%20c", {"prompt": "a cup", "seed": 7})
    assert seen.headers["host"] == host.url.removeprefix("http://")
    (line,) = proxy.recorded(1)
    assert (line.at, line.request.method, line.request.target) == (host.url, "POST", f"{SUBMIT}?a=b%20c")
    assert line.request.body and line.request.body.value == {"prompt": "a cup", "seed": 7}
    assert line.answer and line.answer.body and line.answer.body.value == {"id": "a", "cost": None}
    assert line.answer.status == 200
    assert "host" not in line.request.headers
    assert stat.S_IMODE(proxy.file.stat().st_mode) == 0o600


def test_no_secret_reaches_the_file(host: FakeHost, start: StartProxy) -> None:
    signed = "https://store.example/a.png?se=2030&sig=marked-sig-0815&id=7"
    host.script(
        SUBMIT,
        says(
            401,
            {"message": f"The key {KEY} is wrong.", "sample": signed},
            {"set-cookie": "s=marked-session-0815"},
        ),
    )
    host.script(
        "/form", says(200, {"webhook_url": "https://me:marked-user-0815@hook.example/marked-hook-0815"})
    )
    proxy = start(host.url, known=("marked-of-settings-0815",))
    headers = {"x-key": KEY, "cookie": "session=marked-cookie-0815", "x-note": "I am marked-of-settings-0815"}
    body = {
        "prompt": f"{KEY} on a table",
        "webhook_url": "https://hook.example/services/marked-path-0815",
        "webhook_secret": "marked-secret-0815",
        "nested": [{"apiKey": "marked-nested-0815"}],
        "credentials": {"name": ["marked-deep-0815", 4711], "none": None},
    }
    proxy.client.post(f"{SUBMIT}?token=marked-query-0815", json=body, headers=headers)
    proxy.client.post("/form", data={"webhook_secret": "marked-form-0815"})
    basic = base64.b64encode(b"me:marked-basic-0815").decode()
    proxy.client.post("/form", headers={"authorization": f"Basic {basic}"}, content=b"marked-basic-0815")
    proxy.client.post("/form", headers={"authorization": f"Bearer {KEY}"})
    parts = {"file": ("a.png", image(), "image/png")}
    proxy.client.post("/form", data={"password": "marked-part-0815"}, files=parts)
    squeezed = gzip.compress(json.dumps({"api_key": "marked-zipped-0815"}).encode())
    proxy.client.post("/form", content=squeezed, headers={"content-encoding": "gzip"})
    proxy.client.post("/form", content=b"\xff\0" + KEY.encode(), headers={"content-type": "image/png"})
    proxy.client.get("/files/a-signed-token-of-some-length/sample.png")

    lines = proxy.recorded(8)
    text = proxy.file.read_text()
    bodies = [line.request.body for line in lines if line.request.body]
    kept = [body.value for body in bodies]
    binary = [base64.b64decode(body.value) for body in bodies if body.kind == "base64"]
    assert len(binary) == 2
    assert "marked-" not in text + b"".join(binary).decode("latin-1")
    assert basic not in text
    assert "a-signed-token" not in text
    assert host.requests[0].headers["x-key"] == KEY
    assert lines[0].request.headers["x-key"] == lines[3].request.headers["authorization"].split()[1]
    assert kept[0]["webhook_url"] == "https://webhook.invalid/"
    assert kept[0]["prompt"].endswith(" on a table")
    assert kept[0]["credentials"] == {"name": [kept[0]["credentials"]["name"][0], 0], "none": None}
    assert "&id=7" in text


def test_addresses_in_answers_lead_through_the_proxy(host: FakeHost, start: StartProxy) -> None:
    region = FakeHost()
    poll = f"{region.url}/v1/get_result?id=a"
    host.script(SUBMIT, says(200, {"id": "a", "polling_url": poll, "other": region.url}))
    host.script("/here", says(200, {"at": f"{host.url}/there?x=1", "not": f"{host.url}0/there"}))
    sample = f"{region.url}/results/a.png?sig=abc"
    region.script("/v1/get_result", says(200, {"status": "Ready", "result": {"sample": sample}}))
    region.script("/results/a.png", sends(image(), "image/png"))
    proxy = start(host.url)

    started = proxy.client.post(SUBMIT, json={}, headers={"x-key": KEY}).json()
    assert started["polling_url"].startswith(f"{proxy.url}/-/127.0.0.1:")
    assert started["other"] == region.url
    ready = proxy.client.get(started["polling_url"], headers={"x-key": KEY}).json()
    assert proxy.client.get(ready["result"]["sample"]).content == image()
    assert "x-key" not in region.requests[0].headers, "the key is for the host that is set"
    led = proxy.client.get("/here").json()
    assert led == {"at": f"{proxy.url}/there?x=1", "not": f"{host.url}0/there"}
    lines = proxy.recorded(4)
    assert [line.at for line in lines] == [host.url, region.url, region.url, host.url]
    assert lines[0].answer and lines[0].answer.body and lines[0].answer.body.value["polling_url"] == poll
    region.close()


def test_the_proxy_leads_to_no_host_that_no_answer_named(host: FakeHost, start: StartProxy) -> None:
    answer = start("http://127.0.0.1:9").client.get(f"/-/{host.url.removeprefix('http://')}/v1/get_result")
    assert answer.status_code == 404
    assert answer.json()["error"] == "host-not-named"
    assert host.requests == []


def test_a_redirect_to_the_server_leads_through_the_proxy(host: FakeHost, start: StartProxy) -> None:
    host.script("/old", lambda asked: asked.answer(307, b"", {"location": f"{host.url}/new"}))
    proxy = start(host.url)
    assert proxy.client.get("/old").headers["location"] == f"{proxy.url}/new"


def test_gzip_is_unpacked_in_the_recording(host: FakeHost, start: StartProxy) -> None:
    host.script("/led", packed({"polling_url": f"{host.url}/v1/get_result?id=a"}))
    host.script("/page", sends(b"", "text/html"))
    page = gzip.compress(b"<p>hello</p>")
    headers = {"content-encoding": "gzip", "content-type": "text/html"}
    host.script("/page", lambda asked: asked.answer(200, page, headers))
    host.script("/damaged", damaged_gzip)
    proxy = start(host.url)
    assert proxy.client.get("/led").json() == {"polling_url": f"{proxy.url}/v1/get_result?id=a"}
    with proxy.client.stream("GET", "/page") as answer:
        assert b"".join(answer.iter_raw()) == page, "passed on as it came"
    with pytest.raises(httpx.DecodingError):
        proxy.client.get("/damaged")
    led, text, damaged = (line.answer.body for line in proxy.recorded(3) if line.answer)
    assert led and led.value == {"polling_url": f"{host.url}/v1/get_result?id=a"}
    assert text and (text.kind, text.value) == ("text", "<p>hello</p>")
    assert damaged and damaged.kind == "left-out"


def test_a_picture_is_kept_whole_as_its_hash_above_the_limit_or_not_at_all(
    host: FakeHost, start: StartProxy
) -> None:
    host.script("/a.png", sends(image(), "image/png"))
    large = base64.b64encode(image(512, 512) * 9).decode()
    sent = {"input_image": base64.b64encode(image()).decode(), "large": large, "prompt": "a b " * 99}
    kept = []
    for keep in (Keep(), Keep(limit_bytes=1000), Keep(pictures=False)):
        proxy = start(host.url, keep=keep)
        assert proxy.client.get("/a.png").content == image()
        proxy.client.post("/v1/edit", json=sent)
        lines = proxy.recorded(2)
        assert lines[0].answer and lines[0].answer.body and lines[1].request.body
        asked = lines[1].request.body.value
        assert asked["prompt"] == sent["prompt"]
        kept.append((lines[0].answer.body.kind, asked["input_image"][:7], asked["large"][:7]))
    small = sent["input_image"][:7]
    assert kept == [
        ("base64", small, large[:7]),
        ("base64", small, "sha256:"),
        ("left-out", "sha256:", "sha256:"),
    ]


def test_a_stream_is_passed_on_as_it_comes(host: FakeHost, start: StartProxy) -> None:
    heard = threading.Event()

    def stream(asked: Asked) -> None:
        asked.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        asked.send(b"data: 1\n\n")
        if heard.wait(30):
            asked.send(b"data: 2\n\n")
        asked.break_off()

    host.script("/events", stream)
    proxy = start(host.url)
    with proxy.client.stream("GET", "/events") as answer:
        pieces = answer.iter_text()
        assert next(pieces) == "data: 1\n\n"
        heard.set()
        assert "".join(pieces) == "data: 2\n\n"
    (line,) = proxy.recorded(1)
    assert line.answer and line.answer.body and line.answer.body.value == "data: 1\n\ndata: 2\n\n"


def test_what_is_odd_passes_all_the_same(host: FakeHost, start: StartProxy) -> None:
    deep = "[" * 900 + "]" * 900
    odd = f'{{"prompt": "\\ud800", "polling_url": "{host.url}/x", "api_key": "\\ud800{KEY}"}}'
    host.script("/odd", lambda asked: asked.answer(200, odd.encode()))
    host.script("/deep", lambda asked: asked.answer(200, deep.encode()))
    host.script("/broken", lambda asked: asked.answer(200, f'data: {{"token": "{KEY}"'.encode()))
    proxy = start(host.url)
    assert proxy.client.get("/odd").json()["polling_url"] == f"{proxy.url}/x"
    assert proxy.client.get("/deep").text == deep
    assert proxy.client.get("/broken").status_code == 200
    lines = proxy.recorded(3)
    assert lines[0].answer and lines[0].answer.body and lines[0].answer.body.value["prompt"] == "\ud800"
    assert KEY not in proxy.file.read_text()


def test_a_client_that_goes_away_leaves_what_it_heard(host: FakeHost, start: StartProxy) -> None:
    def endless(asked: Asked) -> None:
        asked.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + b"data: 1\n\n")
        asked.hang()

    host.script("/events", endless)
    proxy = start(host.url)
    with proxy.client.stream("GET", "/events") as answer:
        assert next(answer.iter_text()) == "data: 1\n\n"
    (line,) = proxy.recorded(1)
    assert line.answer and line.answer.cut_off and line.answer.body
    assert line.answer.body.value == "data: 1\n\n"


@pytest.mark.parametrize("reset", [True, False])
def test_a_server_that_fails_becomes_a_502_in_words(host: FakeHost, start: StartProxy, reset: bool) -> None:
    host.script("/v1/flux-dev", resets)
    proxy = start(host.url if reset else f"http://127.0.0.1:{free_port()}")
    answer = proxy.client.post(SUBMIT, json={})
    assert answer.status_code == 502
    assert answer.json()["error"] == ("api-connection-lost" if reset else "api-unreachable")
    assert reset or "--to" in answer.json()["hint"]
    (line,) = proxy.recorded(1)
    assert line.answer is None
    assert line.failure == answer.json()["message"]


def test_an_answer_that_is_cut_off_is_no_whole_one(host: FakeHost, start: StartProxy) -> None:
    host.script("/json", cuts_off(b'{"id": "a"}'))

    def half(asked: Asked) -> None:
        asked.answer(200, image()[:50], {"content-type": "image/png"}, length=99)
        asked.break_off()

    host.script("/a.png", half)
    proxy = start(host.url)
    answer = proxy.client.get("/json")
    assert (answer.status_code, answer.json()["error"]) == (502, "api-answer-truncated")
    with pytest.raises(httpx.RemoteProtocolError):
        proxy.client.get("/a.png")
    json_line, picture_line = proxy.recorded(2)
    assert json_line.answer is None
    assert picture_line.answer and picture_line.answer.cut_off


def test_what_was_recorded_is_not_overwritten(tmp_path: Path) -> None:
    Recorder(tmp_path / "a.jsonl").close()
    with pytest.raises(ConflictError, match="exists already"):
        Recorder(tmp_path / "a.jsonl")
    with pytest.raises(StorageError, match="cannot be written"):
        Recorder(tmp_path / "nowhere" / "a.jsonl")
