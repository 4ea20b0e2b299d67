"""Put icons on pictures in other sizes, turns and places, a batch at a time.

Pictures are float tensors: RGBA premultiplied in [0, 1] before, RGB in [-1, 1] after they got a background.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as fn

FULL_SCALE = 0.875
"""Share of the picture's width which an icon takes unless a scene says otherwise."""


def premultiplied(pictures: Tensor) -> Tensor:
    """(n, side, side, 4) uint8 with straight alpha -> (n, 4, side, side) in [0, 1], premultiplied."""
    rgba = pictures.permute(0, 3, 1, 2).float() / 255
    return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], dim=1)


def placed(
    icons: Tensor, scale: Tensor, turn: Tensor, shift: Tensor, side: int, supersample: int = 1
) -> Tensor:
    """Draw each icon on an empty picture.

    Args:
        icons: (n, 4, s, s) premultiplied.
        scale: (n,) share of the *picture's* width; the picture spans [-1, 1] in x and y.
        turn: (n,) radians, clockwise.
        shift: (n, 2) centre of the icon, x and y in picture units.
        side: width and height of the result in pixels.
        supersample: draw this many times larger and average, against jagged edges.

    Returns:
        (n, 4, side, side) premultiplied.
    """
    cos, sin = torch.cos(turn) / scale, torch.sin(turn) / scale
    rows = torch.stack([cos, sin, -sin, cos], dim=1).view(-1, 2, 2)
    offset = -(rows @ shift.unsqueeze(2))
    size = [len(icons), 4, side * supersample, side * supersample]
    grid = fn.affine_grid(torch.cat([rows, offset], dim=2), size, align_corners=False)
    drawn = fn.grid_sample(icons, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return fn.avg_pool2d(drawn, supersample) if supersample > 1 else drawn


def on_background(rgba: Tensor, background: Tensor) -> Tensor:
    """Premultiplied (n, 4, h, w) over a colour (n, 3, h or 1, w or 1) in [0, 1] -> RGB in [-1, 1]."""
    return (rgba[:, :3] + (1 - rgba[:, 3:]) * background) * 2 - 1


def canonical(icons: Tensor, side: int) -> Tensor:
    """The plain view of icons: upright, centred, full size, on white; (n, 3, side, side) in [-1, 1]."""
    count = len(icons)
    scale = torch.full((count,), FULL_SCALE)
    drawn = placed(icons, scale, torch.zeros(count), torch.zeros(count, 2), side, supersample=2)
    return on_background(drawn, torch.ones(count, 3, 1, 1))


def degrees(value: float) -> float:
    """Degrees as radians."""
    return value * math.pi / 180
