"""Clients of BFL's API that other people wrote, unpatched, against a started server: host and key are set.

`make test-clients` installs them and runs this; the ordinary tests leave it out.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Server

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / "build" / "clients"

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """A server that draws with the shipped model."""
    server = Server(tmp_path_factory.mktemp("clients"), models_dir, {"FLUXSMITH_MODEL": "nano"}).start()
    yield server.wait_ready().url
    server.stop()


def calls(*command: str | Path) -> dict[str, dict[str, Any]]:
    """What each call of a client came to."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line.pop("call"): line for line in lines}


def test_bfls_official_sdk(url: str) -> None:
    came = calls(INSTALLED / "venv/bin/python", HERE / "blackforest_sdk.py", url)
    assert came["flux-dev"] == {"size": [256, 256], "format": "JPEG", "seed": 7, "prompt": "a red apple"}
    assert came["flux-pro"]["size"] == [256, 256]
    assert (came["flux-pro-1.1"]["size"], came["flux-pro-1.1"]["format"]) == ([256, 288], "PNG")
    assert came["flux-pro-1.1-ultra"]["size"] == [2048, 2048]
    assert came["flux-kontext-pro"]["format"] == "PNG"
    assert came["flux-pro-1.0-fill"]["size"] == [256, 256]
    assert came["flux-pro-1.0-expand"]["size"] == [320, 256]
    assert "(canny)" in came["flux-pro-1.0-canny"]["error"]
    assert came["by hand"]["size"] == [256, 256]
    assert came["status"] == {"status": "Ready"}
    assert came["unknown task"] == {"status": "Task not found"}


def test_vercels_ai_sdk(url: str) -> None:
    came = calls("node", INSTALLED / "ai_sdk.mjs", url)
    assert came["pro"] == {"size": [256, 256], "type": "image/png", "seed": 7}
    assert came["kontext"]["size"] == [1024, 1024]
    assert (came["jpeg"]["type"], came["jpeg"]["seed"]) == ("image/jpeg", 3)
    assert "image" in came["refused"]["body"]
    assert came["nowhere"]["error"]
