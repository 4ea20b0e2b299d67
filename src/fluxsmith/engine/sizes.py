"""Which size a model draws at when a person asks for another one."""

from __future__ import annotations

import math

MULTIPLE = 16
"""Sides are multiples of this: one latent token covers 16×16 pixels in every FLUX.2 model."""


def native_size(width: int, height: int, native_side: int) -> tuple[int, int]:
    """The size of about `native_side` squared pixels whose aspect is nearest to the one asked for.

    Args:
        width: pixels asked for.
        height: pixels asked for.
        native_side: side of the square area that the model was trained for, in pixels.

    Returns:
        Width and height, both multiples of 16.
    """
    scale = native_side / math.sqrt(width * height)
    return _rounded(width * scale), _rounded(height * scale)


def _rounded(side: float) -> int:
    return max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE)
