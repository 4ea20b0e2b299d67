"""The local provider: real training in a real child process, and everything that can end one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from fluxsmith.errors import Cancelled, CapacityError, EngineError, LeaseLost, NotFoundError, StorageError
from fluxsmith.providers.base import Adapter, GenerationTask
from fluxsmith.providers.local import LocalProvider
from tests.engine_runs import Listener, make_task
from tests.tiny import tiny_models


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalProvider]:
    provider = LocalProvider(models_dir=tiny_models(), device="cpu")
    yield provider
    provider.close()


def child_of_this_process(run_dir: Path) -> psutil.Process | None:
    """The training child of a run, once it is there."""
    for process in psutil.Process().children():
        try:
            if str(run_dir) in process.cmdline():
                return process
        except psutil.Error:
            continue
    return None


def kill_child(run_dir: Path) -> None:
    """Kill the training child, if an earlier call has not: its last events still come after that."""
    process = child_of_this_process(run_dir)
    if process is not None:
        os.kill(process.pid, signal.SIGKILL)


def test_a_finetune_ends_in_a_lora_that_the_provider_draws_with(
    provider: LocalProvider, tmp_path: Path
) -> None:
    listener = Listener()
    outcome = provider.finetune(make_task(tmp_path), listener)
    assert sorted(listener.losses) == list(range(1, 13))
    assert [step for step, _, _ in listener.samples] == [0, 6, 12]
    assert outcome.facts["base_model"] == "tiny"
    lora = outcome.lora_path
    assert lora is not None

    def draw(strength: float) -> bytes:
        adapter = Adapter("run", lora, strength)
        task = GenerationTask("g", "tiny", "tok", 100, 60, seed=1, adapters=(adapter,))
        return provider.generate(task, Listener())[0].png

    assert draw(1.0) != draw(0.0)


def test_a_repeated_call_after_the_end_trains_nothing_again(provider: LocalProvider, tmp_path: Path) -> None:
    first = provider.finetune(make_task(tmp_path, sample_every=0), Listener())
    assert first.lora_path is not None
    content = first.lora_path.read_bytes()
    listener = Listener()
    again = provider.finetune(make_task(tmp_path, sample_every=0), listener)
    assert again.facts == first.facts
    assert again.lora_path == first.lora_path
    assert first.lora_path.read_bytes() == content
    assert "Loading the model" not in listener.stages


def test_a_killed_child_is_started_again_and_learns_exactly_the_same(
    provider: LocalProvider, tmp_path: Path
) -> None:
    whole = Listener()
    expected = provider.finetune(make_task(tmp_path / "whole", sample_every=0), whole)

    killed: list[int] = []

    def kill_once(step: int) -> None:
        if step == 6 and not killed:
            killed.append(step)
            kill_child(tmp_path / "killed" / "run")

    listener = Listener(on_step=kill_once)
    outcome = provider.finetune(make_task(tmp_path / "killed", sample_every=0), listener)
    assert listener.curve == whole.curve
    learned, same = load_file(outcome.lora_path), load_file(expected.lora_path)
    assert all(torch.equal(learned[name], same[name]) for name in learned | same)
    assert any("started again" in message for message in listener.messages)
    assert outcome.facts["resumed_at"] in (4, 8)


def test_a_cancelled_finetune_stops_within_a_step_and_leaves_no_child(
    provider: LocalProvider, tmp_path: Path
) -> None:
    listener = Listener(stop_at=3)
    with pytest.raises(Cancelled):
        provider.finetune(make_task(tmp_path, steps=20_000, sample_every=0), listener)
    assert child_of_this_process(tmp_path / "run") is None
    assert max(listener.losses) < 20_000


def test_a_listener_that_fails_ends_the_child_and_is_heard(provider: LocalProvider, tmp_path: Path) -> None:
    def lose(_step: int) -> None:
        raise LeaseLost("run")

    with pytest.raises(LeaseLost):
        provider.finetune(make_task(tmp_path, steps=20_000), Listener(on_step=lose))
    assert child_of_this_process(tmp_path / "run") is None


def test_too_little_memory_is_said_in_words_with_what_to_lower(tmp_path: Path) -> None:
    small = LocalProvider(models_dir=tiny_models(), device="cpu", memory_limit_bytes=1_500_000_000)
    task = make_task(tmp_path, batch_size=32, resolution=2048, sample_every=0)
    with pytest.raises(
        CapacityError, match=r"more memory than the 1\.4 GiB .* Lower the batch size"
    ) as caught:
        small.finetune(task, Listener())
    assert caught.value.code == "memory-exhausted"


def test_memory_too_small_to_start_at_all_is_said_in_the_same_words(tmp_path: Path) -> None:
    small = LocalProvider(models_dir=tiny_models(), device="cpu", memory_limit_bytes=60_000_000)
    with pytest.raises(CapacityError) as caught:
        small.finetune(make_task(tmp_path), Listener())
    assert caught.value.code == "memory-exhausted"


def test_a_folder_that_cannot_be_written_is_said_in_words(provider: LocalProvider, tmp_path: Path) -> None:
    task = make_task(tmp_path)
    (tmp_path / "run").write_text("a file in the way")
    with pytest.raises(StorageError) as caught:
        provider.finetune(task, Listener())
    assert caught.value.code == "run-folder-refused"


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fluxsmith.providers.local import LocalProvider\n"
        "from tests.engine_runs import Listener, make_task\n"
        "folder, models = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "task = make_task(folder, steps=20_000, sample_every=0, checkpoint_every=20_000)\n"
        "listener = Listener(on_step=lambda step: print(step, flush=True))\n"
        "LocalProvider(models, 'cpu').finetune(task, listener)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(tiny_models())], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline()
    (child,) = [p for p in psutil.Process(parent.pid).children() if "fluxsmith.engine" in p.cmdline()]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs([child], timeout=20)
    assert gone and not alive


def test_a_second_child_waits_for_the_first(provider: LocalProvider, tmp_path: Path) -> None:
    task, listener = make_task(tmp_path, sample_every=0), Listener()
    task.run_dir.mkdir()
    with FileLock(task.run_dir / "lock"):
        thread = threading.Thread(target=provider.finetune, args=(task, listener))
        thread.start()
        time.sleep(2)
        assert listener.stages == []
    thread.join()
    assert sorted(listener.losses) == list(range(1, 13))


def test_models_are_listed_without_torch() -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fluxsmith.providers.local import LocalProvider\n"
        "provider = LocalProvider(Path(sys.argv[1]), 'cpu')\n"
        "provider.check('tiny')\n"
        "print([model.name for model in provider.models()], 'torch' in sys.modules)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, str(tiny_models())], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip().endswith("False")
    assert "'tiny'" in said.stdout


def test_a_model_is_found_when_the_setting_names_its_own_folder() -> None:
    models = LocalProvider(tiny_models() / "tiny", "cpu").models()
    tiny = next(model for model in models if model.name == "tiny")
    assert (tiny.provider, tiny.native_side, tiny.trainable) == ("local", 64, True)


def test_an_unknown_model_is_not_found(provider: LocalProvider) -> None:
    with pytest.raises(NotFoundError):
        provider.warm_up("gigantic")
    with pytest.raises(EngineError) as caught:
        provider.check("gigantic")
    assert caught.value.code == "weights-missing"


def test_drawing_tells_its_steps_and_stops_when_asked(provider: LocalProvider) -> None:
    provider.warm_up("tiny")
    listener = Listener()
    task = GenerationTask("g", "tiny", "tok", 64, 64, seed=1, steps=4)
    assert len(provider.generate(task, listener)) == 1
    assert "Drawing" in listener.stages
    listener.asked_to_stop = True
    with pytest.raises(Cancelled):
        provider.generate(task, listener)
