"""The architecture of nano: small sizes of the very classes that FLUX.2 [klein] is made of.

Nothing here trains. Sizes are reasoned in the card; `CALL` is what the pipeline must be called with.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

from recipes.nano.pixels import SIDES
from recipes.nano.tokenizer import SEQUENCE
from recipes.nano.vae import LATENT_CHANNELS

NATIVE_SIDE = 128
TEXT_WIDTH = 192
TEXT_LAYERS = (1, 2, 3)
SHIFT = 2.0
"""Static shift of the noise levels; with dynamic shifting off the scheduler ignores the pipeline's `mu`."""
CALL: dict[str, Any] = {
    "family": "flux2",
    "name": "nano",
    "native_side": NATIVE_SIDE,
    "max_sequence_length": SEQUENCE,
    "text_encoder_out_layers": list(TEXT_LAYERS),
    "default_steps": 12,
    "default_guidance": 2.5,
    "default_learning_rate": 2e-3,
    "scheduler_shift": SHIFT,
    "license": "Apache-2.0",
    "reference_side": SIDES[0],
    "sees_controls": False,
    "capabilities": ["text", "image_prompt", "edit", "fill", "canny", "depth"],
}


def new_transformer() -> Flux2Transformer2DModel:
    """The untrained transformer, about 6 M parameters; it starts as a function that returns zero."""
    model = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=4 * LATENT_CHANNELS,
        num_layers=2,
        num_single_layers=6,
        attention_head_dim=64,
        num_attention_heads=3,
        joint_attention_dim=TEXT_WIDTH * len(TEXT_LAYERS),
        timestep_guidance_channels=256,
        mlp_ratio=3.0,
        axes_dims_rope=(8, 24, 24, 8),
        rope_theta=100,
        guidance_embeds=False,
    )
    torch.nn.init.zeros_(model.proj_out.weight)
    return model


def new_text_encoder(words: int) -> Qwen3ForCausalLM:
    """The untrained text encoder, about 1.6 M parameters."""
    config = Qwen3Config(
        vocab_size=words,
        hidden_size=TEXT_WIDTH,
        intermediate_size=3 * TEXT_WIDTH,
        num_hidden_layers=max(TEXT_LAYERS),
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=TEXT_WIDTH // 4,
        max_position_embeddings=4 * SEQUENCE,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    return Qwen3ForCausalLM(config)


def save_pipeline(
    folder: Path,
    vae: AutoencoderKLFlux2,
    tokenizer: Qwen2Tokenizer,
    text_encoder: Qwen3ForCausalLM,
    transformer: Flux2Transformer2DModel,
) -> None:
    """Write a folder that `Flux2KleinPipeline` loads, and `fluxsmith.json` with what a call needs."""
    scheduler = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, shift=SHIFT, use_dynamic_shifting=False
    )
    pipeline = Flux2KleinPipeline(
        scheduler=scheduler,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=False,
    )
    pipeline.save_pretrained(folder)
    (folder / "fluxsmith.json").write_text(json.dumps(CALL, indent=2) + "\n")
