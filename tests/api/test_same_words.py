"""The same bad input at the page, over HTTP and in the shell: the same words, and nothing is half-made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fluxsmith.cli import app as cli
from fluxsmith.container import ServiceContainer
from fluxsmith.core.actor import LOCAL_OWNER
from fluxsmith.ui.base import Updates
from fluxsmith.ui.finetune import FinetunePage
from fluxsmith.ui.generate import GeneratePage
from tests.broken import BROKEN_PICTURES, BROKEN_ZIPS, Broken

UPLOADS = [*BROKEN_ZIPS, *BROKEN_PICTURES]
BOX = "box"
FORM = {"model": "tiny", "strength": 1.0, "size": "Exact", "width": 64, "height": 64, "count": 1}
REST = {"seed": "", "steps": "", "guidance": "", "output_format": "png", "anew": False}
FOLLOWED = {"use": "edit", "picture": None, "mask": None, "image_prompt_strength": 1.0}

Shell = Callable[..., str]


@pytest.fixture
def shell(
    container: ServiceContainer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    """Run a command that fails on the container's own data; what it says to people."""
    monkeypatch.setenv("FLUXSMITH_DATA_DIR", str(container.settings.data_dir))
    monkeypatch.setenv("FLUXSMITH_MODELS_DIR", str(container.settings.models_dir))
    monkeypatch.setenv("FLUXSMITH_MODEL", "tiny")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str) -> str:
        assert cli.run(arguments) != 0
        return " ".join(capsys.readouterr().err.split())

    yield run
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


def shown(page: FinetunePage | GeneratePage, handler: Callable[..., Updates], *values: Any) -> str:
    """What a page shows in its box when a handler is given these values."""

    def fire(safe: Callable[..., Updates], *_: object, **__: object) -> Updates:
        return safe(*values)

    return str(page.on(fire, handler, None, BOX, [])[BOX])


@pytest.mark.parametrize("case", UPLOADS, ids=str)
def test_an_upload_is_refused_in_the_same_words_everywhere(
    container: ServiceContainer, http: TestClient, shell: Shell, tmp_path: Path, case: Broken
) -> None:
    limited = "at most 20" in case.message  # BFL's limit holds for its own API only
    if limited:
        pytest.skip("the studio takes more pictures than BFL's API")
    data = case.make()

    def file(name: str) -> Path:
        path = tmp_path / name / case.filename
        path.parent.mkdir()
        path.write_bytes(data)
        return path

    page = FinetunePage(container)
    answer = http.post("/api/datasets", data={"name": "bad"}, files=[("files", (case.filename, data))])
    says = shell("datasets", "import", str(file("shell")))
    box = shown(page, page.on_upload, [str(file("page"))], "", "tok", "general", True)

    assert answer.json()["message"] == case.message
    assert case.message in says
    assert f"<strong>{escape(case.message)}</strong>" in box
    assert answer.json()["hint"] in says
    assert escape(answer.json()["hint"]) in box
    assert container.datasets.list(LOCAL_OWNER) == []


@pytest.mark.parametrize(
    ("field", "value", "option", "bfl", "words"),
    [
        ("prompt", "x" * 100_000, None, "prompt", "Prompt must have at most 10,000 characters, not 100,000."),
        ("prompt", "an apple\0", None, "prompt", "Prompt must not contain NUL characters."),
        ("steps", "0", "--steps", "steps", "Steps must be at least 1"),
        ("strength", 2.5, "--strength", "finetune_strength", "trength must be at most 2, not 2.5."),
        ("model", "unknown", "--model", "finetune_id", "There is no model 'unknown'."),
    ],
)
def test_a_picture_is_refused_in_the_same_words_everywhere(
    container: ServiceContainer,
    http: TestClient,
    shell: Shell,
    field: str,
    value: Any,
    option: str | None,
    bfl: str,
    words: str,
) -> None:
    page = GeneratePage(container)
    box = shown(page, page.on_draw, *{"prompt": "x", **FORM, **REST, **FOLLOWED, field: value}.values())
    prompt = value if field == "prompt" else "x"
    says = shell("generate", prompt, *((option, str(value)) if option else ()))
    body = {"finetune_id": "any", "prompt": "x", bfl: int(value) if field == "steps" else value}
    answer = http.post("/v1/flux-pro-finetuned", json=body)
    assert words in answer.json()["message"]
    assert words in says
    assert escape(words) in box
    assert container.inference.list(LOCAL_OWNER, 5) == []
