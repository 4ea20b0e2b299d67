"""Drives BFL's official SDK; run by a Python that has it. Prints what came of each call as a line of JSON."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import requests
from blackforest import BFLClient
from blackforest.client import BFLError
from blackforest.types.general.client_config import ClientConfig

from tests.clients.reports import Came, picture64, report, seen

SYNC = ClientConfig(sync=True, polling_interval=0.2, max_retries=600)
CALLS: dict[str, dict[str, Any]] = {
    "flux-dev": {"prompt": "a red apple", "width": 256, "height": 256, "steps": 5, "seed": 7},
    "flux-pro": {"prompt": "a red apple", "width": 256, "height": 256, "steps": 5},
    "flux-pro-1.1": {"prompt": "a red apple", "width": 256, "height": 288, "output_format": "png"},
    "flux-pro-1.1-ultra": {"prompt": "a red apple", "aspect_ratio": "1:1"},
    "flux-kontext-pro": {"prompt": "the same in flat style", "input_image": picture64("teal")},
    "flux-pro-1.0-fill": {"prompt": "a pear", "image": picture64("teal"), "mask": picture64(255, "L")},
    "flux-pro-1.0-expand": {"prompt": "a pear", "image": picture64("teal"), "left": 64},
    "flux-pro-1.0-canny": {"prompt": "a pear", "control_image": picture64("teal")},
}


def main(base_url: str, *models: str) -> None:
    """Make every call, or those of the models that are named; then follow one by hand and break one."""
    client = BFLClient(api_key="0123456789abcdef", base_url=base_url)
    for model in models or CALLS:
        report(model, partial(drawn_by, client, model, CALLS[model]), BFLError)
    started = client.generate("flux-dev", {"prompt": "a pear", "width": 256, "height": 256, "steps": 3})
    report("by hand", lambda: drawn(client.get_polling_result(started.id, SYNC)), BFLError)
    report("status", lambda: {"status": client.get_task_status(started.id).status}, BFLError)
    report("unknown task", lambda: {"status": client.get_task_status("no-such-task").status}, BFLError)


def drawn_by(client: BFLClient, model: str, inputs: dict[str, Any]) -> Came:
    """What a model makes of inputs."""
    return drawn(client.generate(model, inputs, SYNC).result)


def drawn(result: Came) -> Came:
    """What the result's picture is."""
    fetched = requests.get(result["sample"], timeout=30)
    return {"seed": result["seed"], "prompt": result["prompt"], **seen(fetched.content)}


main(*sys.argv[1:])
