"""What a family is: everything that the trainer and the sampler need to know of an architecture.

A family wraps diffusers' own classes. It knows no files of runs, no LoRA training loop and no requests.
Parts are loaded when first asked for, so that a run whose pictures are cached loads no encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from fluxsmith.engine.conditions import Conditions
from fluxsmith.engine.folder import ModelFolder

Grid = tuple[int, int]
"""Rows and columns of the latent tokens of one picture."""


class FamilyModel(Protocol):
    """One base model, opened for training and drawing."""

    folder: ModelFolder
    device: torch.device
    dtype: torch.dtype

    @property
    def transformer(self) -> Any:
        """The part that is trained: a `torch.nn.Module` of diffusers, frozen at first."""

    @property
    def pipeline(self) -> Any:
        """diffusers' pipeline over the loaded parts; LoRA files are loaded through it."""

    def prompt_tokens(self, prompt: str) -> int:
        """How many tokens a prompt has before it is cut to what the encoder reads."""

    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Embeddings (prompts, tokens, width), on the CPU."""

    def encode_pictures(self, pixels: Tensor) -> Tensor:
        """Latents (pictures, tokens, channels) of pixels (pictures, 3, h, w) in [-1, 1], on the CPU."""

    def grid(self, width: int, height: int) -> Grid:
        """Rows and columns of tokens of a picture of that size in pixels."""

    def noise_levels(self, u: Tensor) -> Tensor:
        """Sigmas in (0, 1] for draws in [0, 1); 1 is pure noise."""

    def loss(self, latents: Tensor, noise: Tensor, sigmas: Tensor, prompts: Tensor, grid: Grid) -> Tensor:
        """The training loss of a batch: a scalar with gradients."""

    def lora_targets(self) -> list[str]:
        """Names of the modules that take a LoRA when one is trained."""

    def linear_modules(self) -> list[str]:
        """Names of all modules from which a LoRA can be extracted after full training."""

    def draw(
        self,
        prompt: Tensor,
        negative: Tensor,
        *,
        width: int,
        height: int,
        steps: int,
        guidance: float,
        seed: int,
        conditions: Conditions,
        on_step: Callable[[int], None],
    ) -> Image.Image:
        """Draw one picture of a native size; `on_step` is called after each step and may raise to stop."""

    def forget_text_encoder(self) -> None:
        """Give the text encoder's memory back; it is loaded again when needed."""

    def forget_vae(self) -> None:
        """Give the autoencoder's memory back; it is loaded again when needed."""
