"""What real clients said, sent again to a started server: every file of `recordings` is a test.

A new client becomes a test by `fluxsmith proxy --to … --record tests/clients/recordings/NAME.jsonl`, against
a server with the model `tiny` or one that can do the same; docs/guides/proxy.md says how.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fluxsmith.proxy import Replay, read_recording
from tests.harness import Server

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))


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
