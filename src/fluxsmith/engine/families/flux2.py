"""The FLUX.2 [klein] family: diffusers' own transformer, autoencoder, text encoder and scheduler.

nano is not special here: it is a small folder of weights of these classes, and its numbers come from
`fluxsmith.json`. Loss, noise levels and LoRA targets follow diffusers' script
`train_dreambooth_lora_flux2_klein.py`; latents and ids follow `Flux2KleinPipeline`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from PIL import Image
from torch import Tensor

from fluxsmith.engine.conditions import Conditions
from fluxsmith.engine.families.base import Grid
from fluxsmith.engine.folder import ModelFolder, check_weights
from fluxsmith.engine.sizes import MULTIPLE
from fluxsmith.engine.steering import Steering
from fluxsmith.engine.weights import load_part, load_scheduler, load_text_encoder, load_tokenizer

_DOUBLE_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
_SINGLE_TARGETS = ("to_qkv_mlp_proj", "to_out")


class Flux2Model:
    """One FLUX.2 [klein] model, its parts loaded when first asked for."""

    def __init__(self, folder: ModelFolder, device: torch.device) -> None:
        check_weights(folder)
        self.folder = folder
        self.device = device
        self.dtype = torch.float32 if device.type == "cpu" else torch.bfloat16

    @functools.cached_property
    def transformer(self) -> Any:
        """`Flux2Transformer2DModel`, frozen."""
        return self._load(Flux2Transformer2DModel, "transformer")

    @functools.cached_property
    def vae(self) -> Any:
        """`AutoencoderKLFlux2`, frozen."""
        return self._load(AutoencoderKLFlux2, "vae")

    @functools.cached_property
    def scheduler(self) -> Any:
        """`FlowMatchEulerDiscreteScheduler`, whose sigmas are those of training until one draws."""
        return load_scheduler(FlowMatchEulerDiscreteScheduler, self.folder)

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The tokenizer with its chat template."""
        return load_tokenizer(self.folder)

    @functools.cached_property
    def text_encoder(self) -> Any:
        """The layers of `Qwen3ForCausalLM` without the head that would guess the next word."""
        model = load_text_encoder(self.folder, self.dtype).model
        return model.requires_grad_(False).eval().to(self.device)

    @functools.cached_property
    def pipeline(self) -> Any:
        """`Flux2KleinPipeline` over the loaded parts, without text encoder: it is given embeddings."""
        pipeline = Flux2KleinPipeline(
            scheduler=load_scheduler(FlowMatchEulerDiscreteScheduler, self.folder),
            vae=self.vae,
            text_encoder=None,
            tokenizer=None,
            transformer=self.transformer,
            is_distilled=self.folder.distilled,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def prompt_tokens(self, prompt: str) -> int:
        """Tokens of a prompt within its chat template, before it is cut."""
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return len(self.tokenizer(text)["input_ids"])

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> Tensor:
        """Hidden states of the chosen layers side by side: (prompts, tokens, layers × width)."""
        embeddings: Tensor = Flux2KleinPipeline._get_qwen3_prompt_embeds(
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            prompt=list(prompts),
            max_sequence_length=self.folder.max_sequence_length,
            hidden_states_layers=list(self.folder.text_encoder_out_layers),
        )
        return embeddings.cpu()

    @torch.no_grad()
    def encode_pictures(self, pixels: Tensor) -> Tensor:
        """Latents in 2×2 patches, normalised by the autoencoder's running statistics, packed."""
        pixels = pixels.to(self.device, self.dtype)
        latents = Flux2KleinPipeline._patchify_latents(self.vae.encode(pixels).latent_dist.mode())
        mean, std = self._statistics(latents)
        packed: Tensor = Flux2KleinPipeline._pack_latents((latents - mean) / std)
        return packed.float().cpu()

    def decode(self, packed: Tensor, grid: Grid) -> Tensor:
        """Pixels (pictures, 3, h, w), in about [-1, 1], of packed latents; keeps gradients."""
        latents = packed.to(self.dtype).transpose(1, 2).reshape(len(packed), -1, *grid)
        mean, std = self._statistics(latents)
        patches = Flux2KleinPipeline._unpatchify_latents(latents * std + mean)
        shown: Tensor = self.vae.decode(patches, return_dict=False)[0]
        return shown

    def grid(self, width: int, height: int) -> Grid:
        """One token for 16×16 pixels."""
        return height // MULTIPLE, width // MULTIPLE

    def noise_levels(self, u: Tensor) -> Tensor:
        """The scheduler's own table of training sigmas, so that its static shift counts as well."""
        sigmas: Tensor = self.scheduler.sigmas
        count = self.scheduler.config.num_train_timesteps
        return sigmas[(u * count).long().clamp(0, count - 1)]

    def loss(self, latents: Tensor, noise: Tensor, sigmas: Tensor, prompts: Tensor, grid: Grid) -> Tensor:
        """Flow matching: x_t = (1 − σ) x + σ ε, target ε − x, mean squared error.

        Args:
            latents: (batch, tokens, channels).
            noise: (batch, tokens, channels).
            sigmas: (batch,).
            prompts: (batch, prompt tokens, width).
            grid: rows and columns of the tokens.
        """
        image_ids, text_ids = self._ids(grid, prompts.shape[1])
        level = sigmas.view(-1, 1, 1)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            predicted = self.transformer(
                hidden_states=((1 - level) * latents + level * noise).to(self.dtype),
                timestep=sigmas,
                guidance=None,
                encoder_hidden_states=prompts.to(self.dtype),
                txt_ids=text_ids,
                img_ids=image_ids,
                return_dict=False,
            )[0]
        return torch.nn.functional.mse_loss(predicted.float(), noise - latents)

    def lora_targets(self) -> list[str]:
        """Attention of the double blocks, attention and MLP of the single ones; no modulation."""
        names = []
        for name in self.linear_modules():
            if name.startswith("transformer_blocks.") and name.endswith(_suffixes(_DOUBLE_TARGETS)):
                names.append(name)
            if name.startswith("single_transformer_blocks.") and name.endswith(_suffixes(_SINGLE_TARGETS)):
                names.append(name)
        return names

    def linear_modules(self) -> list[str]:
        """Every linear module of the transformer."""
        modules = self.transformer.named_modules()
        return [name for name, module in modules if isinstance(module, torch.nn.Linear)]

    @torch.no_grad()
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
        """Draw one picture by diffusers' pipeline; noise comes from a generator on the CPU.

        With a fill, the latents outside it are after each step those of the kept picture at that step's noise
        level, so that what is drawn fits them (as in Lugmayr et al. 2022, RePaint, without its resampling).
        With a wanted map they are led along it (`steering`).
        """
        rows, columns = self.grid(width, height)
        channels = self.transformer.config.in_channels
        noise = torch.randn((1, channels, rows, columns), generator=torch.Generator().manual_seed(seed))
        kept_latents = _KeptLatents(conditions.latent_fill, noise) if conditions.latent_fill else None
        steering = None
        if conditions.wanted is not None:
            start = Flux2KleinPipeline._pack_latents(noise)
            steering = Steering(conditions.wanted, lambda packed: self.decode(packed, (rows, columns)), start)

        def tell(pipeline: Any, step: int, _timestep: Any, kept: dict[str, Any]) -> dict[str, Any]:
            if steering is not None:
                before, after = map(float, pipeline.scheduler.sigmas[step : step + 2])
                kept["latents"] = steering.led(kept["latents"], before, after)
            if kept_latents is not None:
                kept["latents"] = kept_latents.put_back(kept["latents"], pipeline.scheduler.sigmas[step + 1])
            on_step(step + 1)
            return kept

        drawn = self.pipeline(
            image=list(conditions.references) or None,
            latents=noise.to(self.dtype),
            prompt_embeds=prompt.to(self.device, self.dtype),
            negative_prompt_embeds=negative.to(self.device, self.dtype),
            width=width,
            height=height,
            num_inference_steps=steps,
            guidance_scale=guidance,
            callback_on_step_end=tell,
        )
        picture: Image.Image = drawn.images[0]
        return picture

    def forget_text_encoder(self) -> None:
        """Give the text encoder's memory back."""
        self.__dict__.pop("text_encoder", None)

    def forget_vae(self) -> None:
        """Give the autoencoder's memory back, and the pipeline that holds it."""
        self.__dict__.pop("pipeline", None)
        self.__dict__.pop("vae", None)

    @functools.cache  # noqa: B019 - one model lives as long as its process, and has few sizes
    def _ids(self, grid: Grid, prompt_tokens: int) -> tuple[Tensor, Tensor]:
        rows, columns = grid
        one = torch.arange(1)
        image = torch.cartesian_prod(one, torch.arange(rows), torch.arange(columns), one)
        text = torch.cartesian_prod(one, one, one, torch.arange(prompt_tokens))
        return image.to(self.device), text.to(self.device)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of latents in patches, (1, channels, 1, 1)."""
        mean = self.vae.bn.running_mean.view(1, -1, 1, 1)
        std = torch.sqrt(self.vae.bn.running_var.view(1, -1, 1, 1) + self.vae.config.batch_norm_eps)
        return mean.to(like), std.to(like)

    def _load(self, kind: Any, part: str) -> Any:
        return load_part(kind, self.folder, part, self.dtype).requires_grad_(False).eval().to(self.device)


def _suffixes(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f".attn.{name}" for name in names)


class _KeptLatents:
    """Holds a drawing to a picture where that is not to change."""

    def __init__(self, fill: tuple[Tensor, Tensor], noise: Tensor) -> None:
        self._clean, self._drawn_anew = fill
        self._noise: Tensor = Flux2KleinPipeline._pack_latents(noise)[0]

    def put_back(self, latents: Tensor, sigma: Tensor) -> Tensor:
        """Latents, (1, tokens, channels), with the picture's own at this noise level outside the mask."""
        level = float(sigma)
        kept = ((1 - level) * self._clean + level * self._noise).to(latents)
        anew = self._drawn_anew.to(latents)
        return anew * latents + (1 - anew) * kept
