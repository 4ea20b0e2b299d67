"""Training runs, in this process: what they tell, how they stop, and that they go on exactly."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fluxsmith.engine.checkpoint import Checkpoint, newest_checkpoint, write_checkpoint
from fluxsmith.engine.draws import batch_indices
from fluxsmith.engine.losses import LossLog
from fluxsmith.engine.optimizer import learning_rate
from fluxsmith.engine.spec import TrainSpec
from fluxsmith.engine.trainer import train
from fluxsmith.errors import Cancelled, EngineError, StorageError
from tests.engine_runs import Listener, make_spec


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    return make_spec(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def whole(spec: TrainSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[Listener, Path]:
    """One run that nobody interrupted: what it told, and its LoRA."""
    listener = Listener()
    result = train(spec, tmp_path_factory.mktemp("whole"), listener)
    return listener, result.lora_path


def test_every_step_tells_its_loss_and_the_loss_falls(whole: tuple[Listener, Path]) -> None:
    listener, _ = whole
    assert sorted(listener.losses) == list(range(1, 13))
    assert sum(listener.curve[-4:]) < sum(listener.curve[:4])


@pytest.mark.parametrize("stop_at", [1, 4, 7, 11])
def test_a_run_that_was_stopped_goes_on_exactly(
    spec: TrainSpec, whole: tuple[Listener, Path], tmp_path: Path, stop_at: int
) -> None:
    first, second = Listener(stop_at=stop_at), Listener()
    with pytest.raises(Cancelled):
        train(spec, tmp_path, first)
    assert max(first.losses) == stop_at
    result = train(spec, tmp_path, second)

    uninterrupted, lora_path = whole
    assert result.facts["resumed_at"] == stop_at // 4 * 4
    assert first.curve == uninterrupted.curve[:stop_at]
    assert second.curve == uninterrupted.curve
    expected, got = load_file(lora_path), load_file(result.lora_path)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_full_training_goes_on_exactly_too(spec: TrainSpec, tmp_path: Path) -> None:
    full = dataclasses.replace(spec, finetune_type="full", learning_rate=1e-3, schedule="cosine")
    uninterrupted, first, second = Listener(), Listener(stop_at=6), Listener()
    train(full, tmp_path / "whole", uninterrupted)
    with pytest.raises(Cancelled):
        train(full, tmp_path / "parts", first)
    result = train(full, tmp_path / "parts", second)
    assert result.facts["resumed_at"] == 4
    assert second.curve == uninterrupted.curve
    assert 0 < float(str(result.facts["lost_energy"])) < 1


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    spec: TrainSpec, whole: tuple[Listener, Path], tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        train(spec, tmp_path, Listener(stop_at=10))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-000004",
        "step-000008",
    ]
    (tmp_path / "checkpoints/step-000008/optimizer.safetensors").write_bytes(b"torn")
    listener = Listener()
    result = train(spec, tmp_path, listener)
    assert result.facts["resumed_at"] == 4
    assert listener.curve == whole[0].curve


def test_a_checkpoint_of_other_parameters_is_not_used(spec: TrainSpec, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        train(spec, tmp_path, Listener(stop_at=5))
    result = train(dataclasses.replace(spec, seed=99), tmp_path, Listener())
    assert result.facts["resumed_at"] == 0


def test_a_full_disk_is_said_in_words_and_spares_the_checkpoint_before(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        tensors = {"weight": torch.ones(1000)}
        small = Checkpoint(4, "f", tensors, tensors, [1.0] * 4)
        write_checkpoint(folder, small)
        with pytest.raises(StorageError, match="Delete old results") as caught:
            large = {"weight": torch.ones(1_000_000)}
            write_checkpoint(folder, dataclasses.replace(small, step=8, optimizer=large))
        assert caught.value.code == "disk-full"
        assert [path.name for path in folder.iterdir()] == ["step-000004"]
        kept = newest_checkpoint(folder, "f")
        assert kept is not None and torch.equal(kept.weights["weight"], tensors["weight"])
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_second_attempt_encodes_nothing_again(spec: TrainSpec, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        train(spec, tmp_path, Listener(stop_at=1))
    listener = Listener()
    train(spec, tmp_path, listener)
    assert not [stage for stage in listener.stages if stage.startswith("Encoding")]


def test_live_samples_are_drawn_before_during_and_after(spec: TrainSpec, tmp_path: Path) -> None:
    listener = Listener()
    train(dataclasses.replace(spec, sample_every=5, sample_prompts=("tok", "a pear")), tmp_path, listener)
    assert [(step, prompt) for step, prompt, _ in listener.samples] == [
        (step, prompt) for step in (0, 5, 10, 12) for prompt in ("tok", "a pear")
    ]
    pictures = {step: png for step, prompt, png in listener.samples if prompt == "tok"}
    assert pictures[0] != pictures[12]


def test_accumulated_batches_cost_no_step(spec: TrainSpec, tmp_path: Path) -> None:
    listener = Listener()
    train(dataclasses.replace(spec, steps=3, gradient_accumulation=3), tmp_path, listener)
    assert len(listener.curve) == 3


def test_a_loss_that_is_no_number_ends_the_run(spec: TrainSpec) -> None:
    log = LossLog(spec, Listener(), lazily=False)
    with pytest.raises(EngineError, match=r"step 5.*Lower the learning rate") as caught:
        log.add(5, torch.tensor(float("nan")), 1e-4)
    assert caught.value.code == "training-diverged"


def test_a_vanished_picture_is_named(spec: TrainSpec, tmp_path: Path) -> None:
    gone = dataclasses.replace(spec.pictures[0], path=str(tmp_path / "gone.png"))
    with pytest.raises(EngineError, match=r"gone\.png") as caught:
        train(dataclasses.replace(spec, pictures=(gone,)), tmp_path, Listener())
    assert caught.value.code == "picture-unreadable"


def test_each_epoch_shows_every_picture_once_in_another_order() -> None:
    shown = [index for batch in range(10) for index in batch_indices(0, 5, 2, batch)]
    epochs = [shown[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_rate_rises_and_follows_its_schedule(spec: TrainSpec) -> None:
    rising = dataclasses.replace(spec, steps=10, warmup_steps=4, learning_rate=1.0)
    assert [learning_rate(rising, step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    linear = dataclasses.replace(rising, schedule="linear")
    assert [round(learning_rate(linear, step), 3) for step in (4, 7, 9)] == [1.0, 0.5, 0.167]
    cosine = dataclasses.replace(rising, schedule="cosine")
    assert learning_rate(cosine, 4) == 1.0
    assert learning_rate(cosine, 7) == pytest.approx(0.5)


def test_a_run_folder_can_be_removed_after_it(spec: TrainSpec, tmp_path: Path) -> None:
    result = train(spec, tmp_path, Listener())
    assert result.lora_path.is_file()
    assert not (tmp_path / "checkpoints").exists()
    shutil.rmtree(tmp_path)
