"""Drives BFL's official SDK; run by a Python that has it. Prints what came of each call as a line of JSON."""

from __future__ import annotations

import base64
import io
import json
import sys
from typing import Any

import requests
from blackforest import BFLClient
from blackforest.client import BFLError
from blackforest.types.general.client_config import ClientConfig
from PIL import Image

SYNC = ClientConfig(sync=True, polling_interval=0.2, max_retries=600)


def picture(colour: Any, mode: str = "RGB") -> str:
    """A picture as base64, as large as the SDK demands."""
    buffer = io.BytesIO()
    Image.new(mode, (256, 256), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


CALLS: dict[str, dict[str, Any]] = {
    "flux-dev": {"prompt": "a red apple", "width": 256, "height": 256, "steps": 5, "seed": 7},
    "flux-pro": {"prompt": "a red apple", "width": 256, "height": 256, "steps": 5},
    "flux-pro-1.1": {"prompt": "a red apple", "width": 256, "height": 288, "output_format": "png"},
    "flux-pro-1.1-ultra": {"prompt": "a red apple", "aspect_ratio": "1:1"},
    "flux-kontext-pro": {"prompt": "the same in flat style", "input_image": picture("teal")},
    "flux-pro-1.0-fill": {"prompt": "a pear", "image": picture("teal"), "mask": picture(255, "L")},
    "flux-pro-1.0-expand": {"prompt": "a pear", "image": picture("teal"), "left": 64},
    "flux-pro-1.0-canny": {"prompt": "a pear", "control_image": picture("teal")},
}


def main(base_url: str, *models: str) -> None:
    """Make every call, or those of the models that are named; then follow one by hand and break one."""
    client = BFLClient(api_key="0123456789abcdef", base_url=base_url)
    calls = {model: CALLS[model] for model in models or CALLS}
    for model, inputs in calls.items():
        report(model, lambda model=model, inputs=inputs: drawn(client.generate(model, inputs, SYNC).result))
    started = client.generate("flux-dev", {"prompt": "a pear", "width": 256, "height": 256, "steps": 3})
    report("by hand", lambda: drawn(client.get_polling_result(started.id, SYNC)))
    report("status", lambda: {"status": client.get_task_status(started.id).status})
    report("unknown task", lambda: {"status": client.get_task_status("no-such-task").status})


def drawn(result: dict[str, Any]) -> dict[str, Any]:
    """What the result's picture is."""
    fetched = requests.get(result["sample"], timeout=30)
    opened = Image.open(io.BytesIO(fetched.content))
    return {"size": opened.size, "format": opened.format, "seed": result["seed"], "prompt": result["prompt"]}


def report(name: str, call: Any) -> None:
    """Print what a call came to, or in which words it was refused."""
    try:
        came: dict[str, Any] = call()
    except BFLError as error:
        came = {"error": str(error)}
    sys.stdout.write(json.dumps({"call": name, **came}) + "\n")


main(*sys.argv[1:])
