"""What a server says about its work: enough to follow it, and nothing that should stay unsaid."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.api.client import BflClient
from tests.broken import good_zip
from tests.conftest import StartServer

MARK = "marked0123456789abcdef"


def test_no_key_and_no_picture_is_in_any_output(start_server: StartServer) -> None:
    """A whole run with marked keys at the most talkative level; all output of all processes is searched."""
    server = start_server(
        environment={
            "FLUXSMITH_LOG_LEVEL": "debug",
            "FLUXSMITH_BFL_API_KEY": f"bfl_{MARK}",
            "FAL_KEY": f"fal-{MARK}",
            "FLUXSMITH_SECRET_KEY": f"{MARK}-{MARK}",
        }
    ).wait_ready()
    client = BflClient(server.url, key=f"bfl_{MARK}")
    client.http.headers["authorization"] = f"Bearer {MARK}"
    zipped = good_zip()
    finetune = client.finetune(zipped, "logged", mode="general", webhook_secret=MARK)
    client.refuse("flux-dev", webhook_secret=MARK, width=1)
    task = client.submit("flux-dev", prompt="a pear", webhook_secret=MARK)
    sample = client.result(task["polling_url"])["sample"]
    client.fetch(sample)
    client.submit("delete_finetune", finetune_id=finetune["finetune_id"])
    client.close()
    server.stop()

    said = server.log.read_text(errors="replace")
    assert MARK not in said
    assert base64.b64encode(zipped).decode()[:80] not in said
    assert sample.split("/files/")[1].split("/")[0] not in said, "who reads the log could fetch the picture"
    assert_lines_can_be_followed(server.log, task["id"])


def assert_lines_can_be_followed(log: Path, job_id: str) -> None:
    """Lines are JSON; requests carry their ids, and the worker's lines the job's."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    answered = [line for line in lines if line.get("path") == "/v1/flux-dev"]
    assert [line["status"] for line in answered] == [422, 200]
    assert all(line["request_id"] for line in answered)
    assert any(line.get("job_id") == job_id for line in lines)
