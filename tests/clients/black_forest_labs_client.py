"""Drives the unofficial `black-forest-labs`; run by a Python that has it. Prints what came of each call."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
from black_forest_labs import Client, Task

from tests.clients.reports import Came, picture64, report, seen

SMALL: dict[str, Any] = {"prompt": "a red apple", "width": 256, "height": 256}
CALLS: dict[str, dict[str, Any]] = {
    "flux-pro-1.1": SMALL | {"seed": 7, "safety_tolerance": 6, "prompt_upsampling": False},
    "flux-pro": SMALL | {"steps": 5, "guidance": 2.5, "interval": 2.0},
    "flux-dev": SMALL | {"steps": 5, "guidance": 3.0, "seed": 3},
    "flux-kontext-pro": {"prompt": "in flat style", "input_image": picture64("teal"), "aspect_ratio": "1:1"},
}


def main(base_url: str) -> None:
    """Make every call, then ask for a task that is not there, and have three refused."""
    client = Client(api_key="0123456789abcdef", base_url=base_url)
    for model, inputs in CALLS.items():
        _try(model, partial(_drawn, client, model, **inputs))
    _try("unknown task", lambda: {"status": str(client.get_result("no-such-task").status)})
    _try("moderated", lambda: {"status": str(_followed(client, "flux-dev", prompt="gore").status)})
    _try("width", partial(_drawn, client, "flux-dev", prompt="a pear", width=100))
    _try("nowhere", partial(_drawn, client, "flux-pro-9", prompt="a pear"))


def _try(name: str, call: Callable[[], Came]) -> None:
    report(name, call, httpx.HTTPStatusError)


def _followed(client: Client, model: str, **inputs: Any) -> Task:
    task = client.generate(model, **inputs)
    while not task.is_done:
        time.sleep(0.2)
        task = client.get_result(task)
    return task


def _drawn(client: Client, model: str, **inputs: Any) -> Came:
    done = _followed(client, model, **inputs)
    assert done.result, done
    return {"prompt": done.result.prompt, **seen(httpx.get(done.result.sample, timeout=60).content)}


main(sys.argv[1])
