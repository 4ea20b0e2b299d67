"""Where other people's clients are installed, and how a driver of one is run and read."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxsmith.config.env import EnvManager

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSTALLED = ROOT / "build" / "clients"
PYTHON = INSTALLED / "venv/bin/python"
KEY = "0123456789abcdef"
LONGEST_S = 900

Calls = dict[str, dict[str, Any]]


def calls_of_python(driver: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Calls:
    """What each call of a client came to, by a driver of this folder in Python."""
    return _calls([str(PYTHON), "-m", f"tests.clients.{driver}", *arguments], environment)


def calls_of_node(driver: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Calls:
    """The same by a driver in Node."""
    return _calls(["node", str(INSTALLED / driver), *arguments], environment)


def run(command: list[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run something to its end; only a key and `environment` are set for it."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=EnvManager().for_child({"PYTHONPATH": str(ROOT), "BFL_API_KEY": KEY, **(environment or {})}),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )


def _calls(command: list[str], environment: Mapping[str, str] | None) -> Calls:
    done = run(command, environment)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line.pop("call"): line for line in lines}
