"""A recording sent again to a scripted host: ids are followed, polls collapse, what differs is found."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxsmith.cli import app as cli
from fluxsmith.config.env import EnvManager
from fluxsmith.errors import APIError
from fluxsmith.proxy import Keep, Outcome, Replay, read_recording
from fluxsmith.proxy.shape import differences
from tests.clocks import SkippingClock
from tests.fake_host import FakeHost, image, says, sends
from tests.harness import free_port, until
from tests.proxies import RunningProxy

SUBMIT, POLL = "/v1/flux-dev", "/v1/get_result"
PENDING = {"status": "Pending", "result": None}


@pytest.fixture
def host() -> Iterator[FakeHost]:
    """A server that draws one picture for each request, under ids of its own."""
    server = FakeHost()
    yield server
    server.close()


def draws(host: FakeHost, task: str, pending: int, **result: Any) -> None:
    """Script a task: its submit, so many polls before it is ready, its picture."""
    ready = {"sample": f"{host.url}/files/{task}/{task}.png", "seed": 7, **result}
    host.script(SUBMIT, says(200, {"id": task, "polling_url": f"{host.url}{POLL}?id={task}"}))
    host.script(POLL, *[says(200, PENDING)] * pending, says(200, {"status": "Ready", "result": ready}))
    host.script(f"/files/{task}/{task}.png", sends(image(), "image/png"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """What a client said that drew a picture and cannot be answered any more."""
    host = FakeHost()
    draws(host, "old-task-of-the-recording", pending=3)
    return record(host, tmp_path / "client.jsonl")


def record(host: FakeHost, file: Path, keep: Keep | None = None) -> Path:
    proxy = RunningProxy(host.url, file, keep)
    headers = {"x-key": "marked-key-0815"}
    body = {"prompt": "a cup", "input_image": image().hex()}
    started = proxy.client.post(SUBMIT, json=body, headers=headers).json()
    answer = dict(PENDING)
    while answer["status"] == "Pending":
        answer = httpx.get(started["polling_url"], headers=headers, trust_env=False).json()
    result: Any = answer["result"]
    assert httpx.get(result["sample"], trust_env=False).content == image()
    proxy.close()
    host.close()
    return file


def replayed(recording: Path, to: str, **options: Any) -> list[Outcome]:
    again = Replay(to, clock=SkippingClock(), **options)
    try:
        return list(again.run(read_recording(recording)))
    finally:
        again.close()


def found(outcomes: list[Outcome]) -> list[str]:
    return [words for outcome in outcomes for words in outcome.differences]


def test_a_replay_follows_the_ids_and_addresses_of_now(recording: Path, host: FakeHost) -> None:
    draws(host, "new", pending=1)
    outcomes = replayed(recording, host.url, key="bfl_mine")
    assert found(outcomes) == []
    assert [outcome.exchanges for outcome in outcomes] == [1, 4, 1]
    assert [f"{seen.path}?{seen.query}" for seen in host.requests] == [
        f"{SUBMIT}?",
        f"{POLL}?id=new",
        f"{POLL}?id=new",
        "/files/new/new.png?",
    ]
    assert [seen.headers.get("x-key") for seen in host.requests] == ["bfl_mine"] * 3 + [None]
    assert host.requests[0].json["input_image"] == image().hex()


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"seed": "7"}, "result.seed was a number, is text"),
        ({"more": 1}, "result.more is new"),
    ],
)
def test_a_replay_finds_a_planted_difference(
    recording: Path, host: FakeHost, result: dict[str, Any], words: str
) -> None:
    draws(host, "new", 0, **result)
    assert found(replayed(recording, host.url)) == [words]


def test_a_replay_finds_another_status_code_state_and_content(recording: Path, host: FakeHost) -> None:
    draws(host, "new", 0)
    host.script(POLL, says(200, {"status": "Error", "result": {"sample": f"{host.url}/page", "seed": 1}}))
    host.script("/page", sends(b"<p>gone</p>", "text/html", 410))
    assert found(replayed(recording, host.url)) == [
        "status was 'Ready', is 'Error'",
        "HTTP status was 200, is 410",
        "content type was 'image/png', is 'text/html'",
    ]


def test_a_task_that_never_ends_is_told_after_a_while(recording: Path, host: FakeHost) -> None:
    draws(host, "new", 0)
    host.script(POLL, says(200, PENDING))
    assert "status was 'Ready', is 'Pending'" in found(replayed(recording, host.url, patience_s=60))


def test_a_recording_without_its_files_is_not_sent(tmp_path: Path, host: FakeHost) -> None:
    first = FakeHost()
    draws(first, "old", 0)
    proxy = RunningProxy(first.url, tmp_path / "thin.jsonl", Keep(pictures=False))
    proxy.client.post(SUBMIT, content=image(), headers={"content-type": "image/png"})
    proxy.close()
    first.close()
    (outcome,) = replayed(tmp_path / "thin.jsonl", host.url)
    assert outcome.verdict == "not sent"
    assert outcome.differences == ["its pictures were left out of the recording"]
    assert host.requests == []


def test_a_server_that_is_down_ends_the_replay_in_words(recording: Path) -> None:
    with pytest.raises(APIError, match="nothing answers there"):
        replayed(recording, f"http://127.0.0.1:{free_port()}")


def test_shapes_are_compared_into_lists() -> None:
    recorded = {"detail": [{"loc": ["a", 1]}], "error": "x", "cost": None}
    assert differences(recorded, {"detail": [{"loc": ["b", 2]}], "error": "y", "cost": None}) == []
    assert differences(recorded, {"detail": [{"loc": [1]}, {"at": []}], "error": "y", "cost": 0.5}) == [
        "detail[].loc[] was text, is a number",
        "detail[].loc is missing",
        "detail[].at is new",
        "cost was null, is a number",
    ]


def test_the_shell_tells_each_exchange_and_ends_with_1_if_one_differs(
    recording: Path, host: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    draws(host, "new", 0)
    assert cli.run(["proxy", "replay", str(recording), "--to", host.url]) == 0
    assert "3 same, 0 different, of 6 exchanges." in capsys.readouterr().out
    draws(host, "new", 0, seed=None)
    assert cli.run(["proxy", "replay", str(recording), "--to", host.url]) == 1
    assert "      result.seed was a number, is null\n" in capsys.readouterr().out
    assert cli.run(["proxy", "replay", str(recording), "--to", host.url, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [one["verdict"] for one in told] == ["same", "different", "same"]


def test_the_settings_key_goes_only_to_the_host_that_it_is_for(
    recording: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BFL_API_KEY", "bfl_of_the_settings")
    draws(host, "new", 0)
    cli.run(["proxy", "replay", str(recording), "--to", host.url])
    monkeypatch.setenv("FLUXSMITH_BFL_BASE_URL", host.url)
    cli.run(["proxy", "replay", str(recording), "--to", host.url])
    keys = [seen.headers["x-key"] for seen in host.seen(SUBMIT)]
    assert keys == ["secret-1", "bfl_of_the_settings"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--to", "http://127.0.0.1:1"), 2, "which file to write"),
        (("--to", "here", "--record", "new.jsonl"), 2, "'here' is not the address of a server"),
        (("--to", "http://x", "--record", "new.jsonl", "--host", "0.0.0.0"), 78, "SSH tunnel"),
        (("replay", "none.jsonl", "--to", "http://x"), 66, "There is no file none.jsonl"),
        (("replay", "bad.jsonl", "--to", "http://x"), 2, "Line 1 of bad.jsonl is no exchange"),
    ],
)
def test_bad_input_is_refused_in_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text("{}\n")
    assert cli.run(["proxy", *arguments]) == code
    assert words in capsys.readouterr().err
    assert not Path("new.jsonl").exists()


def test_ctrl_c_ends_the_proxy_and_leaves_a_whole_file(tmp_path: Path, host: FakeHost) -> None:
    draws(host, "a", 0)
    port, file = free_port(), tmp_path / "client.jsonl"
    options = ("--to", host.url, "--record", str(file), "--port", str(port))
    command = (sys.executable, "-m", "fluxsmith", "proxy", *options)
    process = subprocess.Popen(
        command, cwd=tmp_path, env=EnvManager().for_child({}), stdout=subprocess.PIPE, text=True
    )

    def answers() -> bool:
        try:
            return httpx.post(f"http://127.0.0.1:{port}{SUBMIT}", json={}, trust_env=False).is_success
        except httpx.TransportError:
            assert process.poll() is None
            return False

    try:
        until(answers, "a proxy that answers", patience_s=60)
        rebound = httpx.get(f"http://127.0.0.1:{port}/", headers={"host": "evil.example"}, trust_env=False)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "Recorded 1 exchanges" in said
    assert rebound.status_code == 400
    assert len(read_recording(file)) == 1
