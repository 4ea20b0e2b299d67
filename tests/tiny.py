"""A complete FLUX.2 [klein] folder with tiny random weights, for tests: made in about a second.

It has every part that a real one has, the tokenizer with its chat template included, so that the whole
engine runs on it. Its pictures are noise.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

NATIVE_SIDE = 64
CARD = {
    "family": "flux2",
    "name": "tiny",
    "title": "Tiny",
    "native_side": NATIVE_SIDE,
    "max_sequence_length": 8,
    "text_encoder_out_layers": [1, 2],
    "default_steps": 2,
    "default_guidance": 2.0,
    "license": "Apache-2.0",
    "capabilities": ["text"],
}
_WORDS = ["a", "an", "apple", "tok", "of", "picture", "red", "blue", "pear", "icon"]
_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_end|>{% endif %}"
)


@functools.cache
def tiny_models() -> Path:
    """A folder of base models with one in it, `tiny`; made once a process, removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="fluxsmith-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    build_tiny_model(folder / "tiny")
    return folder


def build_tiny_model(folder: Path, name: str = "tiny", seed: int = 0) -> Path:
    """Write the folder of a tiny random model and return it."""
    import torch
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.set_num_threads(1)  # matrices this small are slower on more
    torch.manual_seed(seed)
    transformer = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        timestep_guidance_channels=16,
        mlp_ratio=2.0,
        axes_dims_rope=(4, 4, 4, 4),
        rope_theta=100,
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=NATIVE_SIDE,
    )
    tokenizer = _tokenizer()
    text_encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            initializer_range=0.5,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
        )
    )
    for part in (transformer, vae, text_encoder):
        part.half()
    Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=2.0),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=transformer,
    ).save_pretrained(folder)
    (folder / "fluxsmith.json").write_text(json.dumps({**CARD, "name": name}))
    return folder


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {
        word: number for number, word in enumerate(["<|endoftext|>", "<|im_end|>", "[UNK]", *_WORDS])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        unk_token="[UNK]",
        chat_template=_TEMPLATE,
    )
