"""Train the autoencoder of nano: an `AutoencoderKLFlux2`, 3.0 M parameters, 128 px to 16 x 16 x 16.

It sees random 64 px crops of icons in many sizes, turns and colours: convolutions carry over to the whole
picture, and a crop costs a quarter. Three terms beside absolute and squared error: differences of
neighbouring pixels (soft edges are the first fault of a small autoencoder); a little KL; and, on some
steps, a shrunk latent must decode to the shrunk picture (Kouzelis et al. 2025, "EQ-VAE"), which makes
latents easier to learn for the transformer. Icons whose name hashes to 0 mod 20 are held out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2
from torch import Tensor
from torch.nn import functional as fn

from recipes.nano.icons import IconSet, load_icons
from recipes.nano.placing import canonical, on_background, placed, premultiplied
from recipes.nano.workplace import Workplace, stable_hash

MINUTES = 25.0
BATCH = 8
CROP = 64
RATE = 1.2e-3
LATENT_CHANNELS = 16
KL_WEIGHT = 5e-4
SAVE_EVERY_S = 120.0


@dataclass
class Progress:
    """What a resumed run must know beside weights and optimizer."""

    step: int = 0
    spent_s: float = 0.0


def new_vae() -> AutoencoderKLFlux2:
    """The untrained autoencoder; the narrow ends pay for themselves in steps, see the card."""
    return AutoencoderKLFlux2(
        block_out_channels=(16, 32, 64, 128),
        decoder_block_out_channels=(24, 48, 96, 128),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=128,
    )


def is_held_out(name: str) -> bool:
    """Whether the autoencoder must never see this icon."""
    return stable_hash(name) % 20 == 0


def train_vae(work: Workplace) -> None:
    """Train for `MINUTES` of this machine's time, or go on from the last checkpoint."""
    if work.path("vae", "config.json").exists():
        return
    icons = load_icons(work)
    pool = _pool(icons, held_out=False)
    torch.manual_seed(0)
    vae = new_vae().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=1e-4)
    progress = _resume(work, vae, optimizer)
    budget_s = MINUTES * 60 * work.fraction
    saved_at = time.monotonic()
    while progress.spent_s < budget_s:
        started = time.monotonic()
        rate = _rate(progress.step, progress.spent_s / budget_s)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _loss(vae, _crops(pool, progress.step), progress.step)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        progress.step += 1
        progress.spent_s += time.monotonic() - started
        if progress.step % 100 == 0:
            work.log("vae", step=progress.step, loss=round(loss.item(), 4), spent_s=round(progress.spent_s))
        if time.monotonic() - saved_at > SAVE_EVERY_S:
            _checkpoint(work, vae, optimizer, progress)
            work.log("vae", step=progress.step, psnr=round(float(held_out_psnr(vae, icons, 48).mean()), 2))
            saved_at = time.monotonic()
    set_latent_scale(vae, pool)
    vae.save_pretrained(work.path("vae"))
    work.log("vae", step=progress.step, psnr=round(float(held_out_psnr(vae, icons).mean()), 2), done=1)


def _rate(step: int, share: float) -> float:
    """Warm up over 50 steps, stay, and go down linearly over the last 65 % of the time."""
    return RATE * min(1.0, (step + 1) / 50, max(0.01, (1 - share) / 0.65))


def _pool(icons: IconSet, held_out: bool) -> Tensor:
    """Icons of one side of the split as (n, SIDE, SIDE, 4) uint8."""
    rows = [row for row, name in enumerate(icons.names) if is_held_out(name) == held_out]
    return torch.from_numpy(np.ascontiguousarray(icons.pictures[rows])).flatten(0, 1)


def _crops(pool: Tensor, step: int) -> Tensor:
    """One batch of (BATCH, 3, CROP, CROP) in [-1, 1]; the same for the same step."""
    rng = torch.Generator().manual_seed(step)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng) * (high - low) + low

    chosen = torch.randint(len(pool), (BATCH,), generator=rng)
    free = (torch.rand(BATCH, generator=rng) < 0.5).float()
    scale = 0.875 + free * uniform(-0.4, 0.3, BATCH)
    turn = free * uniform(-0.6, 0.6, BATCH)
    centre = uniform(-0.5, 0.5, BATCH, 2)
    drawn = placed(premultiplied(pool[chosen]), scale * 128 / CROP, turn, centre * 128 / CROP, CROP, 2)
    colour = torch.where(torch.rand(BATCH, 1, 1, 1, generator=rng) < 0.5, 1.0, uniform(0, 1, BATCH, 3, 1, 1))
    pictures = on_background(drawn, colour)
    pictures[0] = -pictures[0]
    pictures[1] = pictures[1, torch.randperm(3, generator=rng)]
    pictures[2:3] = fn.interpolate(fn.avg_pool2d(pictures[2:3], 8), scale_factor=8.0)
    return pictures.contiguous(memory_format=torch.channels_last)


def _loss(vae: AutoencoderKLFlux2, pictures: Tensor, step: int) -> Tensor:
    rng = torch.Generator().manual_seed(step)
    posterior = vae.encode(pictures).latent_dist
    latents = posterior.sample(generator=rng)
    loss = _difference(vae.decode(latents).sample, pictures)
    loss = loss + KL_WEIGHT * posterior.kl().mean() / latents[0].numel()
    if step % 3 == 0:
        small = fn.interpolate(latents, scale_factor=0.5, mode="bilinear", antialias=True)
        wanted = fn.interpolate(pictures, scale_factor=0.5, mode="bilinear", antialias=True)
        loss = loss + 0.25 * _difference(vae.decode(small).sample, wanted)
    return cast(Tensor, loss)


def _difference(made: Tensor, wanted: Tensor) -> Tensor:
    """Absolute, squared and edge error of (n, 3, h, w)."""
    error = made - wanted
    across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    return error.abs().mean() + 2 * error.square().mean() + across.abs().mean() + down.abs().mean()


@torch.no_grad()
def held_out_psnr(vae: AutoencoderKLFlux2, icons: IconSet, limit: int | None = None) -> Tensor:
    """PSNR in dB of each held-out icon, upright on white at 128 px; (n,)."""
    pool = _pool(icons, held_out=True)[:limit]
    result = []
    for part in torch.split(pool, 16):
        pictures = canonical(premultiplied(part), 128)
        made = round_trip(vae, pictures)
        result.append(10 * torch.log10(4 / (made - pictures).square().mean(dim=(1, 2, 3))))
    return torch.cat(result)


@torch.no_grad()
def round_trip(vae: AutoencoderKLFlux2, pictures: Tensor) -> Tensor:
    """(n, 3, h, w) in [-1, 1], encoded and decoded again, a few at a time."""
    parts = [vae.decode(vae.encode(part).latent_dist.mode()).sample for part in torch.split(pictures, 16)]
    return torch.cat(parts).clamp(-1, 1)


@torch.no_grad()
def set_latent_scale(vae: AutoencoderKLFlux2, pool: Tensor) -> None:
    """Give `vae.bn` the mean and variance of patchified latents, with which the pipeline normalises them."""
    rng = torch.Generator().manual_seed(1)
    patches = []
    for part in torch.split(pool[torch.randperm(len(pool), generator=rng)[:512]], 16):
        latents = vae.encode(canonical(premultiplied(part), 128)).latent_dist.mode()
        patches.append(fn.pixel_unshuffle(latents, 2))
    together = torch.cat(patches)
    vae.bn.running_mean.copy_(together.mean(dim=(0, 2, 3)))
    vae.bn.running_var.copy_(together.var(dim=(0, 2, 3)))


def _checkpoint(
    work: Workplace, vae: AutoencoderKLFlux2, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    target = work.path("vae.ckpt")
    state = {"vae": vae.state_dict(), "optimizer": optimizer.state_dict(), "progress": vars(progress)}
    torch.save(state, target.with_suffix(".tmp"))
    target.with_suffix(".tmp").replace(target)


def _resume(work: Workplace, vae: AutoencoderKLFlux2, optimizer: torch.optim.Optimizer) -> Progress:
    if not work.path("vae.ckpt").exists():
        return Progress()
    state = torch.load(work.path("vae.ckpt"), weights_only=True)
    vae.load_state_dict(state["vae"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(**state["progress"])
