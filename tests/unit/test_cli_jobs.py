"""The command line at work, beside a really started server and without one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fluxsmith.config.env import EnvManager
from fluxsmith.core.actor import LOCAL_OWNER
from fluxsmith.samples import SAMPLE_TRIGGER_WORD
from fluxsmith.worker.folder_locks import lock_for_server
from tests.harness import Server, until


def environment(data_dir: Path, models_dir: Path) -> dict[str, str]:
    return EnvManager().for_child(
        {
            "FLUXSMITH_DATA_DIR": str(data_dir),
            "FLUXSMITH_MODELS_DIR": str(models_dir),
            "FLUXSMITH_MODEL": "tiny",
            "FLUXSMITH_DEVICE": "cpu",
        }
    )


def hear_ctrl_c() -> None:
    """A test run in the background has SIGINT ignored, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Shell:
    """Runs `fluxsmith` in a folder of the test's own, on a given data folder."""

    def __init__(self, folder: Path, data_dir: Path, models_dir: Path) -> None:
        self.folder = folder
        self._environment = environment(data_dir, models_dir)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "fluxsmith", *arguments],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,
        )

    def run(self, *arguments: str) -> Any:
        process = self.start(*arguments, "--json")
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return json.loads(out)


@pytest.fixture
def shell(server: Server, models_dir: Path, tmp_path: Path) -> Shell:
    """A shell beside the shared server."""
    return Shell(tmp_path, server.data_dir, models_dir)


def test_pictures_become_a_lora_that_draws_and_is_exported_and_deleted(shell: Shell) -> None:
    trained = shell.run(
        "finetune", "--sample", "--steps", "3", "--set", "lora_alpha=8", "--name", "From the shell"
    )
    assert trained["job"]["state"] == "done"
    assert trained["parameters"]["lora_alpha"] == 8
    exported = shell.run("models", "export", "From the shell", str(shell.folder))
    assert Path(exported["file"]).read_bytes() == Path(trained["file"]).read_bytes()
    drawn = shell.run(
        "generate", "tok", "--model", trained["id"], "--count", "2", "--seed", "5",
        "--width", "96", "--height", "64", "--format", "jpeg", "--out", "drawn",
    )  # fmt: skip
    pictures = [Image.open(shell.folder / file) for file in drawn["files"]]
    assert [(picture.size, picture.format) for picture in pictures] == [((96, 64), "JPEG")] * 2
    assert [output["seed"] for output in drawn["outputs"]] == [5, 6]
    assert shell.run("models", "delete", trained["id"])["id"] == trained["id"]
    assert trained["id"] not in [model["id"] for model in shell.run("models", "list")]


def test_a_picture_is_edited_and_expanded_from_the_shell(shell: Shell) -> None:
    photo = shell.folder / "photo.png"
    Image.new("RGB", (96, 64), "teal").save(photo)
    edited = shell.run("generate", "the same in flat style", "--model", "nano", "--edit", str(photo))
    assert Image.open(shell.folder / edited["files"][0]).size == (96, 64)
    wider = shell.run("generate", "", "--model", "nano", "--fill", str(photo), "--expand", "0,16,32,0")
    drawn = Image.open(shell.folder / wider["files"][0])
    assert drawn.size == (128, 80)
    assert drawn.crop((32, 0, 128, 64)).tobytes() == Image.open(photo).tobytes()
    for arguments, says in (
        (("--model", "tiny", "--edit", str(photo)), "cannot do what the picture asks for (edit)"),
        (("--edit", "nowhere.png"), "There is no file nowhere.png"),
        (("--fill", str(photo), "--expand", "1,2"), "'1,2' is not four numbers"),
    ):
        process = shell.start("generate", "x", *arguments)
        _, err = process.communicate(timeout=120)
        assert process.returncode != 0
        assert says in " ".join(err.split())


def test_ctrl_c_cancels_the_job_and_waits_for_its_end(shell: Shell, server: Server) -> None:
    process = shell.start("finetune", "--sample", "--steps", "20000", "--name", "To be cancelled", "--json")
    assert process.stderr is not None
    until(
        lambda: (process.stderr.readline() if process.stderr else "").startswith("Training"), "the training"
    )
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == ""
    assert '"cancelled"' in err
    job = next(
        one for one in server.services.finetuning.list(LOCAL_OWNER) if one.name == "To be cancelled"
    ).job
    assert job.state == "cancelled"


def test_a_second_server_on_the_same_data_is_refused(shell: Shell) -> None:
    process = shell.start("serve", "--port", "7999")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "Another fluxsmith server" in err


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_told_to_end_ends_well_and_frees_its_folder(
    start_server: Callable[..., Server], told: signal.Signals
) -> None:
    one = start_server(environment={"FLUXSMITH_WORKERS": "0"})
    until(lambda: one.status("/healthz") == 200, "the server")
    one.process.send_signal(told)
    assert one.process.wait(60) == 0
    assert f"fluxsmith is at {one.url}" in one.log.read_text()
    lock_for_server(one.data_dir).release()


def test_the_demo_writes_one_picture_with_a_worker_of_its_own(tmp_path: Path, models_dir: Path) -> None:
    alone = Shell(tmp_path, tmp_path / "data", models_dir)
    told = alone.run("demo", "--steps", "2", "--count", "2")
    with Image.open(tmp_path / told["file"]) as sheet:
        assert sheet.width == 1080
        assert sheet.height > 500
    assert told["wall_s"] > told["trained_s"] > 0
    model = next(one for one in alone.run("models", "list") if one["id"] == told["model"])
    assert model["trigger_word"] == SAMPLE_TRIGGER_WORD
