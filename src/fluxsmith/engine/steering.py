"""Leads a drawing along edges or relief, with a model that never learned to look at them.

After each step the clean picture that the model expects is decoded, and its latents are moved down the
gradient of what is unlike the wanted map; the noise in them stays. No weights are needed, and the
transformer is not differentiated: a move costs one pass through the decoder and back. The idea is that of
manifold preserving guidance (He et al. 2024, MPGD), with maps for targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

STRIDE = 0.2
"""Length of the move after a step, in standard deviations of latents."""
QUIET_BELOW = 0.2
"""Noise level from which on the model is left alone, so that it tidies up what the moves have left."""

_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
_EDGE = 0.3  # a slope, of colours in [-1, 1], that is half an edge
_APART, _SOFTNESS = 24 / 127.5, 8 / 127.5  # as `controls.relief` tells a thing from its background
_BULGE_PX = 4.0


@dataclass(frozen=True)
class WantedMap:
    """What a drawing is led along: (1, 1, h, w) in [0, 1], at the size that is drawn."""

    kind: Literal["canny", "depth"]
    values: Tensor


class Steering:
    """Moves the latents of one drawing, step by step.

    Args:
        wanted: the map.
        decode: pixels (1, 3, h, w) in about [-1, 1] of latents (1, tokens, channels); differentiable.
        noise: what the drawing begins with, (1, tokens, channels).
    """

    def __init__(self, wanted: WantedMap, decode: Callable[[Tensor], Tensor], noise: Tensor) -> None:
        self._wanted = wanted
        self._decode = decode
        self._before = noise

    def led(self, latents: Tensor, sigma_before: float, sigma: float) -> Tensor:
        """The latents after a step from one noise level to the next, moved towards the map."""
        speed = (latents - self._before.to(latents)) / (sigma - sigma_before)
        if sigma >= QUIET_BELOW:
            expected = latents - sigma * speed
            latents = latents + (1 - sigma) * (self._moved(expected, sigma) - expected)
        self._before = latents
        return latents

    @torch.enable_grad()
    def _moved(self, clean: Tensor, sigma: float) -> Tensor:
        wanted, blur_px = self._wanted, max(0.8, 3 * sigma)
        clean = clean.detach().requires_grad_(True)
        shown = self._decode(clean).float()
        found, there = (
            (_blurred(_slopes(shown), blur_px), _blurred(wanted.values.to(shown), blur_px))
            if wanted.kind == "canny"
            else (_blurred(_apart(shown), _BULGE_PX), wanted.values.to(shown))
        )
        unlike = 1 - functional.cosine_similarity(found.flatten(1), there.flatten(1)).mean()
        (slope,) = torch.autograd.grad(unlike, clean)
        length = slope.square().mean().sqrt().clamp(min=1e-12)
        return (clean - STRIDE * slope / length).detach()


def _slopes(pixels: Tensor) -> Tensor:
    """(1, 1, h, w): near 1 where colours change sharply, near 0 where they do not."""
    across = torch.tensor(_SOBEL, device=pixels.device).div(4).expand(3, 1, 3, 3)
    padded = functional.pad(pixels, (1, 1, 1, 1), mode="replicate")
    horizontal = functional.conv2d(padded, across, groups=3)
    vertical = functional.conv2d(padded, across.transpose(2, 3), groups=3)
    steepest = (horizontal.square() + vertical.square()).amax(dim=1, keepdim=True)
    size = torch.sqrt(steepest + 1e-4)
    return size / (size + _EDGE)


def _apart(pixels: Tensor) -> Tensor:
    """(1, 1, h, w): near 1 where a pixel differs from the border's colour, near 0 where it does not."""
    border = torch.cat([pixels[..., 0, :], pixels[..., -1, :], pixels[..., 0], pixels[..., -1]], dim=2)
    background = border.detach().median(dim=2).values[..., None, None]
    difference = (pixels - background).abs().amax(dim=1, keepdim=True)
    return torch.sigmoid((difference - _APART) / _SOFTNESS)


def _blurred(values: Tensor, radius_px: float) -> Tensor:
    """Convolved with a Gaussian."""
    reach = round(3 * radius_px)
    at = torch.arange(-reach, reach + 1, device=values.device, dtype=values.dtype)
    bell = torch.exp(-at.square() / (2 * radius_px**2))
    bell = bell / bell.sum()
    padded = functional.pad(values, (reach, reach, reach, reach), mode="replicate")
    rows = functional.conv2d(padded, bell.view(1, 1, 1, -1))
    return functional.conv2d(rows, bell.view(1, 1, -1, 1))
