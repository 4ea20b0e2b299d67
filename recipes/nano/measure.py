"""A measure of likeness between pictures that no training used: gradients in cells, and coarse colour.

Histograms of oriented gradients (Dalal and Triggs 2005) on 8 x 8 cells tell shape; the picture shrunk to 8
x 8 tells colour and place. Both parts have unit length for each picture, so neither can drown the other.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as fn

_DIRECTIONS = 8
_CELLS = 8


def features(pictures: Tensor) -> Tensor:
    """(n, 3, h, w) in [-1, 1] -> (n, 704), each of length 1."""
    shape = fn.normalize(_oriented(pictures).flatten(1).sqrt(), dim=1)
    coarse = fn.interpolate(pictures, size=_CELLS, mode="area")
    colour = fn.normalize((1 - coarse).flatten(1), dim=1)
    return fn.normalize(torch.cat([shape, colour], dim=1), dim=1)


def _oriented(pictures: Tensor) -> Tensor:
    """Strength of edges by direction and cell, (n, _DIRECTIONS, _CELLS, _CELLS)."""
    gray = fn.avg_pool2d(pictures.mean(dim=1, keepdim=True), 2)
    across = fn.pad(gray[..., :, 2:] - gray[..., :, :-2], (1, 1, 0, 0))
    down = fn.pad(gray[..., 2:, :] - gray[..., :-2, :], (0, 0, 1, 1))
    strength = (across.square() + down.square()).sqrt()
    direction = torch.atan2(down, across) % math.pi / math.pi * _DIRECTIONS
    bins = torch.arange(_DIRECTIONS).view(1, -1, 1, 1)
    distance = (direction - bins).abs()
    weight = (1 - torch.minimum(distance, _DIRECTIONS - distance)).clamp(min=0)
    return fn.adaptive_avg_pool2d(weight * strength, _CELLS)


def ranks(made: Tensor, references: Tensor, right: Tensor) -> Tensor:
    """How many references are nearer to each picture than its right one; 0 is best.

    Args:
        made: (n, 3, h, w). references: (m, 3, h, w). right: (n,) indices into the references.
    """
    likeness = features(made) @ features(references).T
    own = likeness.gather(1, right.view(-1, 1))
    return (likeness > own).sum(dim=1)
