"""The command line without a server: errors, exit codes, settings, database, checks."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fluxsmith.cli import app as cli


@dataclass(frozen=True)
class Ended:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def run(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run a command in this process, on a data folder and a working directory of the test's own."""
    monkeypatch.setenv("FLUXSMITH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FLUXSMITH_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("FLUXSMITH_MODEL", "tiny")
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def command(*arguments: str) -> Ended:
        code = cli.run(arguments)
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    yield command
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


def test_an_unknown_option_ends_with_the_usage_and_code_2(run: Run) -> None:
    ended = run("models", "list", "--colour")
    assert ended.code == 2
    assert "--colour" in ended.err


def test_a_wrong_setting_is_told_in_words_without_a_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUXSMITH_PORT", "many")
    ended = run("doctor")
    assert ended.code == 78
    assert ended.err.startswith("Error: FLUXSMITH_PORT is 'many' (from the environment)")
    assert "Traceback" not in ended.err


def test_an_error_is_json_where_json_was_asked_for(run: Run) -> None:
    ended = run("models", "delete", "nobody", "--json")
    assert ended.code == 66
    assert ended.out == ""
    error = json.loads(ended.err)["error"]
    assert error["code"] == "model-not-found"
    assert error["hint"]


def test_what_nobody_expected_ends_in_one_line_and_code_70(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode() -> None:
        raise RuntimeError("the sky fell")

    monkeypatch.setattr("fluxsmith.config.settings.Settings.load", lambda *_, **__: explode())
    ended = run("config")
    assert ended.code == 70
    assert "the sky fell" in ended.err
    assert "Traceback" not in ended.err


def test_ctrl_c_ends_with_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fluxsmith.config.settings.Settings.load", interrupt)
    assert run("config").code == 130


def test_config_shows_values_and_sources_but_no_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BFL_API_KEY", "marked-key-0815")
    Path(".env").write_text("FLUXSMITH_WORKERS=2\n")
    table, views = run("config").out, {view["name"]: view for view in run("config", "--json").json}
    assert views["workers"]["value"] == "2"
    assert views["workers"]["source"].endswith(".env")
    assert views["bfl_api_key"]["source"] == "environment"
    assert "FLUXSMITH_WORKERS" in table
    assert "marked-key-0815" not in table + json.dumps(views)


def test_the_database_is_made_migrated_and_copied(run: Run) -> None:
    assert run("db", "backup").code == 66
    assert run("db", "status", "--json").json["exists"] is False
    assert run("db", "migrate", "--json").json == {"migrated": True}
    assert run("db", "migrate", "--json").json == {"migrated": False}
    assert run("db", "status", "--json").json["pending"] is False
    copy = Path(run("db", "backup", "--json").json["file"])
    assert copy.read_bytes()[:15] == b"SQLite format 3"


def test_base_models_are_listed_but_neither_exported_nor_deleted(run: Run, tmp_path: Path) -> None:
    assert [model["id"] for model in run("models", "list", "--json").json] == ["tiny", "nano"]
    exported = run("models", "export", "tiny", str(tmp_path / "x.safetensors"))
    assert exported.code == 2
    assert "base model" in exported.err
    assert not (tmp_path / "x.safetensors").exists()
    assert run("models", "delete", "tiny").code != 0


def test_a_folder_of_pictures_becomes_a_dataset_and_goes_again(run: Run, tmp_path: Path) -> None:
    from tests.harness import picture

    folder = tmp_path / "cats"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(picture(number))
    (folder / ".hidden").write_text("not a picture")
    made = run("datasets", "import", str(folder), "--json").json
    assert (made["name"], len(made["images"])) == ("cats", 3)
    assert [one["id"] for one in run("datasets", "list", "--json").json] == [made["id"]]
    said = run("datasets", "check", made["id"])
    assert "the set; a LoRA learns well from 5 or more." in said.out
    told = run("datasets", "check", made["id"], "--json").json
    assert told[0]["code"] == "too-few-pictures"
    assert run("datasets", "delete", made["id"]).code == 0
    assert run("datasets", "list", "--json").json == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("finetune",), 2, "Say which pictures"),
        (("finetune", "nowhere.zip"), 66, "nowhere.zip"),
        (("finetune", "--sample", "--dataset", "x"), 2, "in one way"),
        (("finetune", "--sample", "--steps", "0"), 2, "Steps must be at least 1"),
        (("finetune", "--sample", "--rank", "999"), 2, "LoRA rank must be at most 128"),
        (("finetune", "--sample", "--set", "magic"), 2, "name=value"),
        (("finetune", "--sample", "--set", "magic=1"), 2, "magic"),
        (("finetune", "--dataset", "unknown"), 66, "unknown"),
        (("finetune", "--sample", "--base", "huge"), 66, "huge"),
        (("generate", "x", "--width", "30"), 2, "Width must be at least 64"),
        (("generate", "x", "--strength", "3"), 2, "at most 2"),
        (("generate", "x" * 100_000), 2, "Prompt"),
        (("generate", "x", "--model", "unknown"), 66, "unknown"),
        (("config", "colour"), 78, "colour"),
    ],
)
def test_bad_input_is_refused_in_words(run: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    ended = run(*arguments)
    assert words in ended.err
    assert ended.code == code
    assert "Traceback" not in ended.err


def test_a_taken_port_is_named_with_a_way_out(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run("serve", "--port", str(port))
    assert ended.code == 75
    assert f"Port {port} on 127.0.0.1 is taken" in ended.err
    assert "FLUXSMITH_PORT" in ended.err


def test_an_address_for_strangers_is_refused(run: Run) -> None:
    ended = run("serve", "--host", "0.0.0.0")
    assert ended.code == 78
    assert "SSH tunnel" in ended.err


def test_doctor_finds_everything_well(run: Run, tmp_path: Path) -> None:
    ended = run("doctor", "--json")
    states = {check["name"]: check["state"] for check in ended.json}
    assert set(states) == {
        "python",
        "settings",
        "cores",
        "memory",
        "data folder",
        "disk",
        "database",
        "storage",
        "engine",
        "device",
        "weights",
        "port",
        "key",
    }
    assert {states[name] for name in ("data folder", "database", "storage", "weights", "device")} == {"ok"}
    assert not (tmp_path / "data" / "fluxsmith.db").exists()


def test_doctor_names_what_is_bad_and_what_to_do(
    run: Run, tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    broken = tmp_path / "models" / "tiny"
    shutil.copytree(models_dir / "tiny", broken)
    card = broken / "fluxsmith.json"
    (broken / "SHA256SUMS").write_text(f"{'0' * 64}  {card.name}\n")
    monkeypatch.setenv("FLUXSMITH_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("FLUXSMITH_DATA_DIR", str(card / "below-a-file"))
    monkeypatch.setenv("FLUXSMITH_COLOUR", "red")
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("FLUXSMITH_PORT", str(other.getsockname()[1]))
        ended = run("doctor", "--json")
    bad = {check["name"]: check for check in ended.json if check["state"] != "ok"}
    assert ended.code == 1
    assert "fluxsmith.json" in bad["weights"]["found"]
    assert "FLUXSMITH_COLOUR" in bad["settings"]["found"]
    assert "in use" in bad["port"]["found"]
    assert "FLUXSMITH_DATA_DIR" in bad["data folder"]["todo"]
    assert all(check["todo"] for check in bad.values())


def test_a_finetune_that_bfl_keeps_is_linked_when_there_is_a_key(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = run("models", "link", "my-mug", "--base", "tiny")
    assert refused.code == 2
    assert "FLUXSMITH_BFL_API_KEY" in refused.err

    monkeypatch.setenv("BFL_API_KEY", "bfl_0123456789abcdef")
    linked = run(
        "models", "link", "my-mug", "--base", "bfl/flux-2-klein-4b", "--trigger-word", "TOK", "--json"
    )

    assert linked.json["remote_id"] == "my-mug"
    assert linked.json["id"] in {model["id"] for model in run("models", "list", "--json").json}


def test_a_lora_is_imported_found_by_its_name_and_exported_again(run: Run, tmp_path: Path) -> None:
    from tests.loras import file_of, tiny_lora

    file = tmp_path / "My Mug (v2).safetensors"
    file.write_bytes(file_of(tiny_lora()))
    made = run("models", "import", str(file), "--base", "tiny", "--trigger", "TOK", "--json").json
    assert (made["name"], made["trigger_word"], made["origin"]) == ("my-mug-v2", "TOK", "import")
    assert run("models", "export", "my-mug-v2", str(tmp_path / "again.safetensors")).code == 0
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()
    taken = run("models", "import", str(file))
    assert taken.code == 75
    assert "There is a model named 'my-mug-v2' already." in taken.err

    file.write_bytes(file.read_bytes()[:-1])
    cut = run("models", "import", str(file), "--name", "cut")
    assert cut.code == 2
    assert "The file is cut off" in cut.err
    assert run("models", "import", str(tmp_path / "nowhere.safetensors")).code == 74
    assert run("models", "delete", "my-mug-v2").code == 0
    assert [model["kind"] for model in run("models", "list", "--json").json] == ["base", "base"]
