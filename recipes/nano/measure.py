"""Measures of pictures that no training used: which thing is it, and in which style.

Thing: histograms of oriented gradients (Dalal and Triggs 2005) on 8 x 8 cells tell shape; the picture shrunk
to 8 x 8 tells colour and place. Both parts have unit length for each picture, so neither can drown the other.

Style: how steep edges are at three sizes, how bright and colourful the ink is, and its coarse colours, given
to a linear classifier (ridge regression) that is fitted to real pictures.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as fn

_DIRECTIONS = 8
_CELLS = 8
_STEEPNESS = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
_INK = 0.03
"""How far from white, of 1, a pixel is that belongs to the thing."""
_RIDGE = 10.0
_TOGETHER = 32


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
    return ranks_of(features(made) @ features(references).T, right)


def ranks_of(likeness: Tensor, right: Tensor) -> Tensor:
    """The same for a table of likeness, (n, m)."""
    own = likeness.gather(1, right.view(-1, 1))
    return (likeness > own).sum(dim=1)


class StyleJudge:
    """Tells which of several styles a picture is in, after real pictures of each.

    Args:
        examples: for each style, (n, 3, h, w) in [-1, 1] on white.
    """

    def __init__(self, examples: list[Tensor]) -> None:
        measured = [_looks(pictures) for pictures in examples]
        table = torch.cat(measured)
        self._mean, self._deviation = table.mean(dim=0), table.std(dim=0) + 1e-4
        wanted = torch.cat(
            [torch.eye(len(examples))[style].expand(len(m), -1) for style, m in enumerate(measured)]
        )
        rows = self._rows(table)
        self._weights = torch.linalg.solve(rows.T @ rows + _RIDGE * torch.eye(rows.shape[1]), rows.T @ wanted)

    def judge(self, pictures: Tensor) -> Tensor:
        """(n,) index of the nearest style."""
        likeness: Tensor = self._rows(_looks(pictures)) @ self._weights
        return likeness.argmax(dim=1)

    def _rows(self, measured: Tensor) -> Tensor:
        return fn.pad((measured - self._mean) / self._deviation, (0, 1), value=1.0)


def _looks(pictures: Tensor) -> Tensor:
    """What tells styles apart, (n, 104); a few pictures at a time, since each takes megabytes."""
    return torch.cat([_looks_of_few(part) for part in torch.split(pictures, _TOGETHER)])


def _looks_of_few(pictures: Tensor) -> Tensor:
    shown = (pictures.clamp(-1, 1) + 1) / 2
    parts = []
    for side in (128, 64, 32):
        parts.append(_steepness(fn.interpolate(shown, size=side, mode="area")))
    small = fn.interpolate(shown, size=32, mode="area")
    ink = ((1 - small).amax(dim=1) > _INK).float().flatten(1)
    ink = ink / ink.sum(dim=1, keepdim=True).clamp(min=1)
    bright = small.amax(dim=1).flatten(1)
    for values in (bright, bright - small.amin(dim=1).flatten(1)):
        parts.append(_shares(fn.one_hot((values * 7.999).long(), 8), ink))
    red, green, blue = (small * 3.999).long().flatten(2).unbind(dim=1)
    parts.append(_shares(fn.one_hot(red * 16 + green * 4 + blue, 64), ink).sqrt())
    return torch.cat(parts, dim=1)


def _steepness(shown: Tensor) -> Tensor:
    """Share of the ink whose difference to its neighbours exceeds each of `_STEEPNESS`."""
    across = fn.pad((shown[..., 1:] - shown[..., :-1]).abs().amax(dim=1), (0, 1))
    down = fn.pad((shown[..., 1:, :] - shown[..., :-1, :]).abs().amax(dim=1), (0, 0, 0, 1))
    steep = torch.maximum(across, down).flatten(1)
    ink = ((1 - shown).amax(dim=1) > _INK).float().flatten(1)
    ink = ink / ink.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.stack([((steep > least).float() * ink).sum(dim=1) for least in _STEEPNESS], dim=1)


def _shares(kinds: Tensor, ink: Tensor) -> Tensor:
    """(n, pixels, k) kinds and (n, pixels) weights -> (n, k) shares."""
    return (kinds.float() * ink.unsqueeze(2)).sum(dim=1)
