"""Named styles made by image processing, free of anybody's licence.

Each is a function from placed icons to placed icons, (n, 4, h, w) premultiplied RGBA in [0, 1]. They make
thing, style and placement separate for the model, which is what a finetune recombines.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as fn

_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


def outline(icons: Tensor) -> Tensor:
    """Dark lines where colour or coverage changes, nothing elsewhere."""
    soft = fn.avg_pool2d(fn.pad(icons, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    across = fn.pad(soft[..., :, 1:] - soft[..., :, :-1], (0, 1, 0, 0))
    down = fn.pad(soft[..., 1:, :] - soft[..., :-1, :], (0, 0, 0, 1))
    strength = (across.square() + down.square()).sum(dim=1, keepdim=True).sqrt()
    lines = (strength * 6 - 0.6).clamp(0, 1)
    return torch.cat([lines.expand(-1, 3, -1, -1) * 0.1, lines], dim=1)


def silhouette(icons: Tensor) -> Tensor:
    """The shape in near-black."""
    alpha = icons[:, 3:]
    return torch.cat([alpha.expand(-1, 3, -1, -1) * 0.08, alpha], dim=1)


def pixel_art(icons: Tensor) -> Tensor:
    """Sixteen by sixteen squares (eight pixels wide at 128), each wholly covered or empty."""
    block = icons.shape[-1] // 16
    coarse = fn.avg_pool2d(icons, block)
    alpha = coarse[:, 3:]
    solid = (alpha > 0.4).float()
    colour = coarse[:, :3] / alpha.clamp(min=1e-3) * solid
    return fn.interpolate(torch.cat([colour, solid], dim=1), scale_factor=float(block))


def inverted(icons: Tensor) -> Tensor:
    """Every colour turned into its opposite."""
    return torch.cat([icons[:, 3:] - icons[:, :3], icons[:, 3:]], dim=1)


def pastel(icons: Tensor) -> Tensor:
    """Colours mixed with much white."""
    return torch.cat([icons[:, :3] * 0.45 + icons[:, 3:] * 0.55, icons[:, 3:]], dim=1)


def gray(icons: Tensor) -> Tensor:
    """Brightness only."""
    return torch.cat([_brightness(icons).expand(-1, 3, -1, -1), icons[:, 3:]], dim=1)


def duotone(icons: Tensor) -> Tensor:
    """Brightness mapped from deep violet to light yellow."""
    alpha = icons[:, 3:]
    share = _brightness(icons) / alpha.clamp(min=1e-3)
    dark = torch.tensor([0.25, 0.08, 0.45]).view(1, 3, 1, 1)
    light = torch.tensor([1.0, 0.93, 0.55]).view(1, 3, 1, 1)
    return torch.cat([(dark + (light - dark) * share) * alpha, alpha], dim=1)


def _brightness(icons: Tensor) -> Tensor:
    """(n, 1, h, w), premultiplied."""
    return (icons[:, :3] * _LUMA).sum(dim=1, keepdim=True)


MADE_STYLES: dict[str, Callable[[Tensor], Tensor]] = {
    "outline": outline,
    "silhouette": silhouette,
    "pixel art": pixel_art,
    "inverted": inverted,
    "pastel": pastel,
    "gray": gray,
    "duotone": duotone,
}
