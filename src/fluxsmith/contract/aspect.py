"""Aspect ratios as text, `16:9`, and the size in pixels that one stands for at some area.

Source: BFL's reference: between 21:9 and 9:21. BFL names no sizes; its pictures of 4 megapixels have sides
that are multiples of 32.
"""

from __future__ import annotations

import math
import re

WIDEST = 21 / 9
MULTIPLE_PX = 32
_FORM = re.compile(r"([0-9]{1,4}):([0-9]{1,4})")


def check_aspect_ratio(text: str) -> str:
    """The text itself, if it is a ratio that BFL draws; raises ValueError with the reason."""
    found = _FORM.fullmatch(text)
    if found is None or int(found[1]) == 0 or int(found[2]) == 0:
        raise ValueError("must be two whole numbers with a colon between them, such as 16:9")
    ratio = int(found[1]) / int(found[2])
    if not 1 / WIDEST <= ratio <= WIDEST:
        raise ValueError("must be between 21:9 and 9:21")
    return text


def size_of(aspect_ratio: str, area_px: int) -> tuple[int, int]:
    """Width and height of about `area_px` pixels, multiples of 32.

    Args:
        aspect_ratio: as `check_aspect_ratio` returns it.
        area_px: pixels in all.
    """
    across, down = (int(part) for part in aspect_ratio.split(":"))
    width = math.sqrt(area_px * across / down)
    return _rounded(width), _rounded(area_px / width)


def _rounded(side: float) -> int:
    return max(MULTIPLE_PX, round(side / MULTIPLE_PX) * MULTIPLE_PX)
