"""Clients that know no address but https://api.bfl.ai, unpatched, against a started server behind a front.

Their environment names the front as proxy and its certificate's authority as trusted; beside these, only
the key is set. `make test-clients` installs them and runs this; the ordinary tests leave it out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from PIL import Image

from tests.api.client import BflClient
from tests.broken import good_zip
from tests.clients.conftest import BFL, ServeAsBfl
from tests.clients.reports import picture
from tests.clients.running import INSTALLED, calls_of_node, calls_of_python, run

PUBLIC = "203.0.113.7"
"""Nobody's address (RFC 5737): bfl-api resolves names before it fetches from them, and this is none."""

pytestmark = pytest.mark.clients


def test_litellm(serve_as_bfl: ServeAsBfl) -> None:
    at_home = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # its price list is not fetched from GitHub
    with serve_as_bfl() as (_, front):
        came = calls_of_python("litellm_sdk", environment=front.environment | at_home)
    assert front.refused == set()
    assert {one["host"] for one in came.values() if "host" in one} == {BFL}

    made = {name: (one["size"], one["format"]) for name, one in came.items() if "size" in one}
    assert made == {
        "draw flux-dev": ([256, 256], "PNG"),
        "draw flux-pro": ([256, 256], "JPEG"),
        "draw flux-pro-1.1": ([256, 288], "PNG"),
        "draw flux-pro-1.1-ultra": ([2048, 2048], "PNG"),
        "draw flux-kontext-pro": ([1024, 1024], "PNG"),
        "draw flux-kontext-max": ([1376, 768], "JPEG"),
        "edit flux-kontext-pro": ([256, 256], "PNG"),
        "edit flux-kontext-max": ([1024, 1024], "JPEG"),
        "draw async": ([256, 256], "PNG"),
        "edit async": ([256, 256], "PNG"),
    }
    assert came["draw async"]["sha256"] == came["draw flux-dev"]["sha256"], "the seed did not arrive"

    # It sends `input_image` where BFL's fill and expand have `image`, which they require.
    for refused in ("edit flux-pro-1.0-fill", "edit flux-pro-1.0-expand", "raw", "size"):
        assert "422" in came[refused]["error"]
    assert came["moderated"]["type"] == "BadRequestError"
    assert "Request Moderated" in came["moderated"]["error"]


def test_bfl_api_as_a_library_and_as_a_command(serve_as_bfl: ServeAsBfl, tmp_path: Path) -> None:
    image, mask = tmp_path / "image.png", tmp_path / "mask.png"
    image.write_bytes(picture("teal"))
    mask.write_bytes(picture(255, "L"))
    with serve_as_bfl(PUBLIC) as (server, front):
        finetune = _finetuned(server.url)
        _check_library(finetune, image, mask, front.environment)
        _check_command(
            lambda *options: _bfl(front.environment, *options), finetune, image, tmp_path / "drawn"
        )
    assert front.refused == set()


def _finetuned(url: str) -> str:
    client = BflClient(url)
    task = client.finetune(good_zip(), "for bfl-api", mode="style", iterations=100, priority="speed")
    finetune = str(task["finetune_id"])
    assert client.follow(f"{url}/v1/get_result?id={finetune}")[-1]["status"] == "Ready"
    return finetune


def _check_library(finetune: str, image: Path, mask: Path, environment: dict[str, str]) -> None:
    paths = [str(path) for path in (image, mask, image.with_name("out"))]
    came = calls_of_node("bfl_api.mjs", finetune, *paths, environment=environment)
    made = {name: (one["size"], one["format"]) for name, one in came.items() if "size" in one}
    assert made == {
        "dev": ([256, 256], "PNG"),
        "pro": ([256, 288], "PNG"),
        "ultra": ([2048, 2048], "JPEG"),
        "fill": ([256, 256], "JPEG"),
        "fill finetuned": ([256, 256], "JPEG"),
        "expand": ([320, 256], "PNG"),
        "kontext pro": ([256, 256], "PNG"),
        "kontext max": ([256, 256], "JPEG"),
        "flux 2 pro": ([256, 256], "PNG"),
        "flux 2 flex": ([256, 256], "PNG"),
        "two references": ([256, 256], "PNG"),
        "without its URL": ([256, 256], "PNG"),
    }
    assert [came[name]["seed"] for name in ("dev", "ultra", "kontext pro")] == [7, 5, 3]
    assert "cannot do what raw asks for" in came["raw"]["error"]
    assert "Width must be a multiple of 32" in came["size"]["error"]
    assert came["status"] == {"status": "Ready"}
    assert came["moderated"] == {"status": "Request Moderated"}
    assert came["unknown task"] == {"status": "Task not found"}
    assert came["finetunes"] == {"finetunes": [finetune]}
    assert "HTTP 404" in came["credits"]["error"]  # nothing is paid for here


def _bfl(environment: dict[str, str], *options: str) -> CompletedProcess[str]:
    return run(["node", str(INSTALLED / "node_modules/bfl-api/dist/cli.js"), *options], environment)


def _check_command(
    bfl: Callable[..., CompletedProcess[str]], finetune: str, image: Path, folder: Path
) -> None:
    small = ("--width", "256", "--height", "256", "--steps", "5", "--seed", "7", "--output-format", "png")
    given = ("--prompt", "a red apple", "--output-dir", str(folder))
    assert bfl("--flux-dev", *given, *small).returncode == 0
    assert _sizes(folder / "flux-dev") == [(256, 256)]
    assert bfl("--kontext-pro", *given, "--input-image", str(image)).returncode == 0
    assert _sizes(folder / "kontext-pro") == [(256, 256)]

    refused = bfl("--flux-ultra", *given, "--raw")
    assert (refused.returncode, "cannot do what raw asks for" in refused.stdout) == (1, True)
    assert finetune in bfl("--list-finetunes").stdout
    assert '"status": "Task not found"' in bfl("--get-result", "no-such-task").stdout
    assert bfl("--credits").returncode == 1


def _sizes(folder: Path) -> list[tuple[int, int]]:
    return [Image.open(path).size for path in folder.iterdir() if path.suffix != ".json"]
