"""Draw with a folder of nano's weights through diffusers' own pipeline, and lay pictures out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import Flux2KleinPipeline
from torch import Tensor

from recipes.nano.model import CALL, NATIVE_SIDE
from recipes.nano.pixels import picture_of
from recipes.nano.pixels import reference as as_shown

TOGETHER = 20
"""Pictures drawn at once."""


def load_pipeline(folder: Path) -> Flux2KleinPipeline:
    """The pipeline in float32, quiet."""
    pipeline = Flux2KleinPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def make_pictures(pipeline: Flux2KleinPipeline, prompts: list[str], seed: int = 0) -> Tensor:
    """Pictures of prompts with the defaults of `CALL`, (n, 3, 128, 128) in [-1, 1]; a seed for each."""
    made = []
    for start in range(0, len(prompts), TOGETHER):
        part = prompts[start : start + TOGETHER]
        seeds = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        made.append(_call(pipeline, prompt=part, generator=seeds))
    return torch.cat(made)


def from_reference(pipeline: Flux2KleinPipeline, prompt: str, reference: Tensor, seed: int = 0) -> Tensor:
    """One picture, (1, 3, 128, 128), from a prompt and a reference picture, (3, h, w) in [-1, 1]."""
    shown = as_shown(picture_of(reference))
    return _call(pipeline, prompt=[prompt], image=[shown], generator=torch.Generator().manual_seed(seed))


def contact_sheet(pictures: Tensor, columns: int, target: Path) -> None:
    """Write (n, 3, h, w) in [-1, 1] as one picture, row by row; n must be a multiple of the columns."""
    count, _, height, width = pictures.shape
    grid = pictures.view(count // columns, columns, 3, height, width).permute(2, 0, 3, 1, 4)
    picture_of(grid.reshape(3, -1, columns * width)).save(target, optimize=True)


def _call(pipeline: Flux2KleinPipeline, **given: Any) -> Tensor:
    images: Tensor = pipeline(
        height=NATIVE_SIDE,
        width=NATIVE_SIDE,
        num_inference_steps=CALL["default_steps"],
        guidance_scale=CALL["default_guidance"],
        max_sequence_length=CALL["max_sequence_length"],
        text_encoder_out_layers=tuple(CALL["text_encoder_out_layers"]),
        output_type="pt",
        **given,
    ).images
    return images * 2 - 1
