"""From a LoRA here to an id at BFL: the same steps in the shell, over HTTP and on the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fluxsmith.cli import app as cli
from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.core.actor import LOCAL_OWNER
from fluxsmith.services.models import ImportRequest
from fluxsmith.ui.models_view import model_card
from fluxsmith.web.app import create_api
from tests.loras import file_of, tiny_lora
from tests.tiny import build_tiny_model

KLEIN = "flux-2-klein-base-9b"


def test_a_lora_of_klein_is_led_to_bfl_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build_tiny_model(tmp_path / "models" / KLEIN, name=KLEIN)
    monkeypatch.setenv("FLUXSMITH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FLUXSMITH_MODELS_DIR", str(tmp_path / "models"))
    file = tmp_path / "mug.safetensors"
    file.write_bytes(file_of(tiny_lora()))
    assert cli.run(["models", "import", str(file), "--base", KLEIN, "--trigger", "a mug"]) == 0
    capsys.readouterr()
    (tmp_path / "out").mkdir()
    assert cli.run(["models", "publish", "mug", "--to", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "out" / "mug.safetensors").read_bytes() == file.read_bytes()
    command = "fluxsmith models link mug --base bfl/flux-2-klein-9b --trigger-word 'a mug'"
    for words in ("Customization → Finetunes", "FLUX.2 [klein] 9B", "'a mug' as its trigger phrase", command):
        assert words in printed
    assert cli.run(["models", "export", "mug", str(tmp_path / "x")]) == 0
    assert "fluxsmith models publish mug" in capsys.readouterr().out

    container = ServiceContainer(Settings(data_dir=tmp_path / "data", models_dir=tmp_path / "models"))
    guide = container.models.publish_guide(LOCAL_OWNER, "mug")
    card = model_card(container.models.get(LOCAL_OWNER, "mug"), guide)
    assert "Upload the file. Choose FLUX.2 [klein] 9B" in card
    assert 'data-remote="mug" data-base="bfl/flux-2-klein-9b"' in card
    with TestClient(create_api(container), base_url="http://127.0.0.1:7860") as http:
        assert http.get("/api/models/mug/publish").json() == json.loads(guide.model_dump_json())
    container.close()

    monkeypatch.setenv("FLUXSMITH_BFL_API_KEY", "bfl_0123456789abcdef")
    assert cli.run(command.replace("'a mug'", "mug").split()[1:]) == 0


def test_what_bfl_does_not_take_is_said(tmp_path: Path, models_dir: Path) -> None:
    file = tmp_path / "mug.safetensors"
    file.write_bytes(file_of(tiny_lora()))
    container = ServiceContainer(Settings(data_dir=tmp_path / "data", models_dir=models_dir, model="tiny"))
    container.models.add(LOCAL_OWNER, ImportRequest(name="mug", base_model="tiny"), file)
    with TestClient(create_api(container), base_url="http://127.0.0.1:7860") as http:
        refused = http.get("/api/models/mug/publish")
        assert refused.status_code == 422
        assert "BFL draws with LoRAs of FLUX.2 [klein] only" in refused.json()["message"]
        assert http.get("/api/models/tiny/publish").json()["error"] == "not-a-lora-here"
    assert "fs-guide" not in model_card(container.models.get(LOCAL_OWNER, "mug"), None)
    container.close()
