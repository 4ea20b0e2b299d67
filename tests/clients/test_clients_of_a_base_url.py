"""Clients that take the address of an API, unpatched, against a started server: host and key are set.

`make test-clients` installs them and runs this; the ordinary tests leave it out.
"""

from __future__ import annotations

import pytest

from tests.clients.running import calls_of_node, calls_of_python

pytestmark = pytest.mark.clients


def test_bfls_official_sdk(url: str) -> None:
    came = calls_of_python("blackforest_sdk", url)
    assert came["flux-dev"] == {"size": [256, 256], "format": "JPEG", "seed": 7, "prompt": "a red apple"}
    assert came["flux-pro"]["size"] == [256, 256]
    assert (came["flux-pro-1.1"]["size"], came["flux-pro-1.1"]["format"]) == ([256, 288], "PNG")
    assert came["flux-pro-1.1-ultra"]["size"] == [2048, 2048]
    assert came["flux-kontext-pro"]["format"] == "PNG"
    assert came["flux-pro-1.0-fill"]["size"] == [256, 256]
    assert came["flux-pro-1.0-expand"]["size"] == [320, 256]
    assert came["flux-pro-1.0-canny"]["format"] == "JPEG"
    assert came["by hand"]["size"] == [256, 256]
    assert came["status"] == {"status": "Ready"}
    assert came["unknown task"] == {"status": "Task not found"}


def test_vercels_ai_sdk(url: str) -> None:
    came = calls_of_node("ai_sdk.mjs", url)
    assert came["pro"] == {"size": [256, 256], "type": "image/png", "seed": 7}
    assert came["kontext"]["size"] == [1024, 1024]
    assert (came["jpeg"]["type"], came["jpeg"]["seed"]) == ("image/jpeg", 3)
    assert "image" in came["refused"]["body"]
    assert came["nowhere"]["error"]


def test_the_unofficial_black_forest_labs(url: str) -> None:
    came = calls_of_python("black_forest_labs_client", url)
    assert came["flux-pro-1.1"] == {"size": [256, 256], "format": "JPEG", "prompt": "a red apple"}
    assert came["flux-pro"] == came["flux-dev"] == came["flux-pro-1.1"]
    assert came["flux-kontext-pro"] == {"size": [1024, 1024], "format": "PNG", "prompt": "in flat style"}
    assert came["unknown task"] == {"status": "Task not found"}
    assert came["moderated"] == {"status": "Request Moderated"}
    assert "422" in came["width"]["error"]
    assert "404" in came["nowhere"]["error"]
