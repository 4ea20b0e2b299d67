"""Pictures as tensors and back, and how a reference picture is made ready."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIDES = (64, 128)
"""Sides of the pictures that are trained on, in pixels; references have the first."""


def picture_of(pixels: Tensor) -> Image.Image:
    """(3, h, w) in [-1, 1] as a picture."""
    return Image.fromarray(((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())


def reference(picture: Image.Image) -> Image.Image:
    """The picture at the side at which nano looks at references."""
    return picture.resize((SIDES[0], SIDES[0]), Image.Resampling.LANCZOS)


def as_reference(picture: Image.Image) -> Tensor:
    """(3, 64, 64) in [-1, 1]."""
    return torch.tensor(np.asarray(reference(picture))).permute(2, 0, 1).float() / 127.5 - 1
