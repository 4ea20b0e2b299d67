"""Pictures in tests that look at what was drawn."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image, ImageDraw

Pixels = np.ndarray


def base64_of(picture: Image.Image, kind: str = "PNG") -> str:
    """What a body holds for a picture."""
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def pixels(picture: Image.Image) -> Pixels:
    """(h, w, 3) levels, that can be subtracted."""
    return np.asarray(picture.convert("RGB")).astype(int)


def disc() -> Image.Image:
    """A red disc on white."""
    picture = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(picture).ellipse((60, 60, 196, 196), fill=(200, 40, 40))
    return picture


def stripes() -> Image.Image:
    """Stripes in many colours, so that any change is seen anywhere."""
    picture = Image.new("RGB", (256, 192))
    pen = ImageDraw.Draw(picture)
    for number in range(32):
        pen.rectangle(
            (8 * number, 0, 8 * number + 7, 191), fill=(8 * number, 255 - 7 * number, 90 + 3 * number)
        )
    return picture


def box() -> Image.Image:
    """A mask for the stripes, white in a box."""
    picture = Image.new("L", (256, 192), 0)
    ImageDraw.Draw(picture).rectangle((96, 64, 191, 159), fill=255)
    return picture
