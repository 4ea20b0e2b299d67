"""LoRA files: other people's software reads them, and they say what they are."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
import torch
from diffusers import Flux2KleinPipeline
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fluxsmith.engine.adapters import LoraUse
from fluxsmith.engine.lora import check_lora, extract_lora
from fluxsmith.engine.sampler import DrawRequest, Sampler
from fluxsmith.engine.trainer import train
from fluxsmith.errors import EngineError
from tests.engine_runs import Listener, make_spec
from tests.tiny import CARD, NATIVE_SIDE, tiny_models

PROMPT = "a red apple"


@pytest.fixture(scope="module", params=["lora", "full"])
def lora(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained LoRA whose alpha differs from its rank."""
    folder = tmp_path_factory.mktemp("lora")
    spec = make_spec(folder, lora_alpha=7.0, finetune_type=request.param, metadata={"dataset_hash": "abc"})
    return train(spec, folder / "run", Listener()).lora_path


def ours(loras: tuple[LoraUse, ...], prompt: str = PROMPT) -> Image.Image:
    request = DrawRequest(prompt, NATIVE_SIDE, NATIVE_SIDE, seed=1, loras=loras)
    drawn = Sampler("cpu").draw(tiny_models() / "tiny", request, lambda *_: None, lambda _: None)
    return Image.open(io.BytesIO(drawn[0].png))


def theirs(lora: Path | None) -> Image.Image:
    pipeline = Flux2KleinPipeline.from_pretrained(tiny_models() / "tiny", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if lora is not None:
        pipeline.load_lora_weights(str(lora))
    drawn = pipeline(
        prompt=PROMPT,
        width=NATIVE_SIDE,
        height=NATIVE_SIDE,
        num_inference_steps=CARD["default_steps"],
        guidance_scale=CARD["default_guidance"],
        max_sequence_length=CARD["max_sequence_length"],
        text_encoder_out_layers=CARD["text_encoder_out_layers"],
        generator=torch.Generator().manual_seed(1),
    )
    picture: Image.Image = drawn.images[0]
    return picture


def test_plain_diffusers_draws_the_same_picture_without_a_lora() -> None:
    assert ours(()).tobytes() == theirs(None).tobytes()


def test_plain_diffusers_draws_the_same_picture_with_our_lora(lora: Path) -> None:
    with_lora = theirs(lora).tobytes()
    assert with_lora == ours((LoraUse("a", lora, 1.0),)).tobytes()
    assert with_lora != theirs(None).tobytes()


def test_the_file_says_what_it_is(lora: Path) -> None:
    metadata = check_lora(lora)
    expected = {"base_model": "tiny", "rank": "4", "alpha": "7", "trigger_word": "tok", "steps": "12"}
    assert expected.items() <= metadata.items()
    assert metadata["dataset_hash"] == "abc"


def test_a_lora_leaves_the_modulation_alone(tmp_path: Path) -> None:
    lora = train(make_spec(tmp_path, steps=1), tmp_path / "run", Listener()).lora_path
    modules = {name.rsplit(".lora_", 1)[0] for name in load_file(lora)}
    assert modules == {
        "transformer.transformer_blocks.0.attn.to_q",
        "transformer.transformer_blocks.0.attn.to_k",
        "transformer.transformer_blocks.0.attn.to_v",
        "transformer.transformer_blocks.0.attn.to_out.0",
        "transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj",
        "transformer.single_transformer_blocks.0.attn.to_out",
    }


def test_a_change_of_low_rank_is_extracted_whole() -> None:
    torch.manual_seed(0)
    before = {"a.weight": torch.randn(12, 20)}
    after = {"a.weight": before["a.weight"] + torch.randn(12, 3) @ torch.randn(3, 20)}
    extracted = extract_lora(before, after, ["a"], rank=4, alpha=8.0)
    change = extracted.tensors["a.lora_B.weight"] @ extracted.tensors["a.lora_A.weight"] * (8.0 / 4)
    torch.testing.assert_close(before["a.weight"] + change, after["a.weight"], rtol=1e-4, atol=1e-4)
    assert extracted.lost_energy < 1e-5


def test_energy_outside_the_rank_and_outside_the_modules_is_counted_as_lost() -> None:
    before = {"a.weight": torch.zeros(2, 2), "b.weight": torch.zeros(1)}
    after = {"a.weight": torch.diag(torch.tensor([2.0, 1.0])), "b.weight": torch.ones(1)}
    assert extract_lora(before, after, ["a"], rank=1, alpha=1.0).lost_energy == pytest.approx(2 / 6)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save({"transformer.x.lora_A.weight": torch.zeros(1)}, tmp_path / "lora.bin")
    with pytest.raises(EngineError, match="can run code") as caught:
        ours((LoraUse("a", tmp_path / "lora.bin", 1.0),))
    assert caught.value.code == "lora-unsafe"


@pytest.mark.parametrize("content", [b"", b"not a lora", b"\x80\x02}q\x00."])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lora.safetensors").write_bytes(content)
    with pytest.raises(EngineError) as caught:
        ours((LoraUse("a", tmp_path / "lora.safetensors", 1.0),))
    assert caught.value.code == "lora-damaged"


def test_a_truncated_file_is_said_to_be_damaged(lora: Path, tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    path.write_bytes(lora.read_bytes()[:-100])
    with pytest.raises(EngineError) as caught:
        ours((LoraUse("a", path, 1.0),))
    assert caught.value.code == "lora-damaged"


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        ours((LoraUse("a", tmp_path / "lora.safetensors", 1.0),))
    assert caught.value.code == "lora-missing"


@pytest.mark.parametrize("change", ["wider", "elsewhere"])
def test_a_lora_of_another_model_is_refused_and_leaves_nothing_behind(
    lora: Path, tmp_path: Path, change: str
) -> None:
    tensors = load_file(lora)
    if change == "wider":
        wrong = {name: torch.zeros(2 * len(tensor), 99) for name, tensor in tensors.items()}
    else:
        wrong = {name.replace("attn", "elsewhere"): tensor for name, tensor in tensors.items()}
    path = tmp_path / "lora.safetensors"
    save_file(wrong, path)
    sampler, folder = Sampler("cpu"), tiny_models() / "tiny"
    request = DrawRequest(PROMPT, NATIVE_SIDE, NATIVE_SIDE, seed=1)
    before = sampler.draw(folder, request, lambda *_: None, lambda _: None)
    with pytest.raises(EngineError) as caught:
        wrong_request = dataclasses.replace(request, loras=(LoraUse("a", path, 1.0),))
        sampler.draw(folder, wrong_request, lambda *_: None, lambda _: None)
    assert caught.value.code == "lora-mismatch"
    assert sampler.draw(folder, request, lambda *_: None, lambda _: None) == before


def test_alpha_survives_in_the_metadata_that_peft_reads(lora: Path) -> None:
    with safe_open(lora, framework="pt") as opened:
        assert '"transformer.lora_alpha": 7.0' in opened.metadata()["lora_adapter_metadata"]
