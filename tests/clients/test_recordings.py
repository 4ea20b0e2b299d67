"""What real clients said, sent again to a started server: every file of `recordings` is a test.

A new client becomes a test by `python -m tests.clients.record`, or by a file from `fluxsmith proxy` against
a server whose model can do the same as the tiny one: draw from words. docs/guides/proxy.md says more.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fluxsmith.proxy import Replay, read_recording
from tests.harness import Server

FOLDER = Path(__file__).parent / "recordings"
RECORDINGS = sorted(FOLDER.glob("*.jsonl"))


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_holds_no_key(recording: Path) -> None:
    headers = [exchange.request.headers for exchange in read_recording(recording)]
    keys = {head.get(name, "secret-0") for head in headers for name in ("x-key", "authorization", "cookie")}
    assert all(re.fullmatch(r"(\w+ )?secret-\d+", key) for key in keys)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_a_recorded_client_is_answered_as_it_was(server: Server, recording: Path) -> None:
    again = Replay(server.url)
    try:
        outcomes = list(again.run(read_recording(recording)))
    finally:
        again.close()
    told = [f"line {one.line}, {one.request}: {words}" for one in outcomes for words in one.differences]
    assert told == []
    assert outcomes
