"""Base weights that are missing or damaged: always said in words, never filled up with noise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fluxsmith.engine.folder import check_weights, read_folder
from fluxsmith.engine.sampler import Sampler
from fluxsmith.engine.trainer import train
from fluxsmith.errors import EngineError
from fluxsmith.providers.local import LocalProvider
from tests.engine_runs import Listener, make_spec
from tests.tiny import tiny_models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tiny model, to be damaged."""
    copy = tmp_path / "models" / "tiny"
    shutil.copytree(tiny_models() / "tiny", copy)
    return copy


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def loading_code(folder: Path) -> str:
    with pytest.raises(EngineError) as caught:
        Sampler("cpu").load(folder)
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize(
    "part",
    [
        "fluxsmith.json",
        "model_index.json",
        "transformer",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "text_encoder/config.json",
        "tokenizer",
        "scheduler",
    ],
)
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    path = folder / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert loading_code(folder) == "weights-missing"


@pytest.mark.parametrize(
    "part",
    [
        "fluxsmith.json",
        "model_index.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "transformer/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "text_encoder/config.json",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_truncated_file_is_damage(folder: Path, part: str) -> None:
    truncate(folder / part)
    assert loading_code(folder) == "weights-damaged"


def test_tensors_that_are_lacking_are_damage_and_not_noise(folder: Path) -> None:
    path = folder / "transformer/diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors.pop("proj_out.weight")
    save_file(tensors, path, metadata={"format": "pt"})
    assert loading_code(folder) == "weights-damaged"


def test_tensors_of_another_shape_are_damage(folder: Path) -> None:
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["encoder.conv_in.weight"] = torch.zeros(3, 3)
    save_file(tensors, path, metadata={"format": "pt"})
    assert loading_code(folder) == "weights-damaged"


def test_a_pickle_is_not_read_instead(folder: Path) -> None:
    (folder / "transformer/diffusion_pytorch_model.safetensors").rename(
        folder / "transformer/diffusion_pytorch_model.bin"
    )
    assert loading_code(folder) == "weights-missing"


def test_training_says_the_same(folder: Path, tmp_path: Path) -> None:
    truncate(folder / "transformer/diffusion_pytorch_model.safetensors")
    with pytest.raises(EngineError) as caught:
        train(make_spec(tmp_path, model_folder=str(folder)), tmp_path / "run", Listener())
    assert caught.value.code == "weights-damaged"


def test_a_family_that_is_not_known_is_named(folder: Path) -> None:
    card = json.loads((folder / "fluxsmith.json").read_text())
    (folder / "fluxsmith.json").write_text(json.dumps({**card, "family": "flux9"}))
    assert loading_code(folder) == "family-unknown"


def test_the_provider_leaves_out_what_it_cannot_read_and_tells_why_when_asked(folder: Path) -> None:
    provider = LocalProvider(models_dir=folder.parent, device="cpu")
    provider.check("tiny")
    (folder / "fluxsmith.json").write_text("{")
    assert "tiny" not in [model.name for model in provider.models()]
    with pytest.raises(EngineError) as caught:
        provider.check("tiny")
    assert caught.value.code == "weights-damaged"


def test_a_whole_folder_passes_the_check(folder: Path) -> None:
    check_weights(read_folder(folder))
