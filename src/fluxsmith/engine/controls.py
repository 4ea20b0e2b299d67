"""Control pictures: the edges and the relief of a picture, which a canny or depth request follows.

FLUX.2 has no weights of its own for controls: it sees a control as a reference picture, as it sees any other.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

LOW, HIGH = 50, 200
"""BFL's defaults for `canny_low_threshold` and `canny_high_threshold`, which are OpenCV's own scale."""
_APART = 24
"""How far from the border's colour, of 255, a pixel is that stands in front of the background."""


def edges(picture: Image.Image, low: int = LOW, high: int = HIGH) -> Image.Image:
    """White lines on black where the picture changes (Canny 1986).

    Args:
        picture: any picture.
        low: gradients above it go on with a line, up to 500.
        high: gradients above it begin a line, up to 500.
    """
    found = cv2.Canny(np.asarray(picture.convert("RGB")), low, high)
    return Image.fromarray(found).convert("RGB")


def relief(picture: Image.Image) -> Image.Image:
    """How far each pixel is from the background, white being nearest to the viewer.

    A stand-in for a depth map that needs no model: what differs from the border's colour is taken for a
    thing, and the thing for a body that bulges with the distance to its outline.
    """
    pixels = np.asarray(picture.convert("RGB")).astype(np.int16)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    difference = np.abs(pixels - np.median(border, axis=0)).max(axis=2)
    inside = (difference > _APART).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    furthest = max(float(distance.max()), 1.0)
    height = np.sqrt(1 - (1 - distance / furthest) ** 2)
    return Image.fromarray((255 * height).round().astype(np.uint8)).convert("RGB")
