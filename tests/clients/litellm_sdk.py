"""Drives LiteLLM's provider for BFL; run by a Python that has it. Prints a line of JSON for each call.

Key, authority and proxy come from the environment; the host is the client's own https://api.bfl.ai.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import litellm

from tests.clients.reports import Came, picture, report, seen

PREFIX = "black_forest_labs/"
DRAWN: dict[str, dict[str, Any]] = {
    "flux-dev": {"size": "256x256", "seed": 7},
    "flux-pro": {"size": "256x256", "output_format": "jpeg", "safety_tolerance": 6},
    "flux-pro-1.1": {"size": "256x288", "prompt_upsampling": True},
    "flux-pro-1.1-ultra": {"aspect_ratio": "1:1", "quality": "standard", "n": 1},
    "flux-kontext-pro": {"aspect_ratio": "1:1"},
    "flux-kontext-max": {"aspect_ratio": "16:9", "output_format": "jpeg"},
}
EDITED: dict[str, dict[str, Any]] = {
    "flux-kontext-pro": {"seed": 3},
    "flux-kontext-max": {"aspect_ratio": "1:1", "output_format": "jpeg"},
    "flux-pro-1.0-fill": {"mask": picture(255, "L"), "steps": 15},
    "flux-pro-1.0-expand": {"left": 64},
}


def main() -> None:
    """Draw and edit with every model that the client knows, in both of its ways; then break some."""
    for model, options in DRAWN.items():
        _try(f"draw {model}", partial(_draw, model, "a red apple", **options))
    for model, options in EDITED.items():
        _try(f"edit {model}", partial(_edit, model, **options))
    _try("draw async", lambda: asyncio.run(_draw_async()))
    _try("edit async", lambda: asyncio.run(_edit_async()))
    _try("raw", partial(_draw, "flux-pro-1.1-ultra", "a pear", quality="hd"))
    _try("size", partial(_draw, "flux-dev", "a pear", size="100x100"))
    _try("moderated", partial(_draw, "flux-dev", "gore", size="256x256"))


def _try(name: str, call: Callable[[], Came]) -> None:
    report(name, call, Exception)


def _draw(model: str, prompt: str, **options: Any) -> Came:
    return _fetched(litellm.image_generation(prompt=prompt, model=PREFIX + model, **options))


def _edit(model: str, **options: Any) -> Came:
    image = io.BytesIO(picture("teal"))
    return _fetched(litellm.image_edit(image=image, prompt="in flat style", model=PREFIX + model, **options))


async def _draw_async() -> Came:
    options: dict[str, Any] = {"size": "256x256", "seed": 7}
    return _fetched(
        await litellm.aimage_generation(prompt="a red apple", model=PREFIX + "flux-dev", **options)
    )


async def _edit_async() -> Came:
    image = io.BytesIO(picture("teal"))
    return _fetched(
        await litellm.aimage_edit(image=image, prompt="a pear", model=PREFIX + "flux-kontext-pro")
    )


def _fetched(answer: Any) -> Came:
    url = answer.data[0].url
    data = httpx.get(url, timeout=60).raise_for_status().content
    return {"host": httpx.URL(url).host, "sha256": hashlib.sha256(data).hexdigest(), **seen(data)}


main()
