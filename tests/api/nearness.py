"""How near pictures are to a training set: how much of what its pictures have in common they show.

What the training pictures share is told by their colours: the share that each coarse colour has in at
least half of them. Backgrounds differ and drop out; what is left is the thing itself, wherever it stands
and however large it is. A blank, a single colour, noise or some other thing shows little of it. A set of
seeds is judged by its mean, so one lucky seed proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLOURS = 4  # of each channel


def colours(image: Image.Image) -> NDArray[np.float64]:
    """(64,) summing to 1: the share of each coarse colour."""
    small = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BOX)).reshape(-1, 3)
    found, _ = np.histogramdd(small, bins=(COLOURS,) * 3, range=((0, 256),) * 3)
    return np.asarray(found.ravel() / found.sum(), dtype=np.float64)


def in_common(training: Sequence[Image.Image]) -> NDArray[np.float64]:
    """(64,) the share of each colour that at least half of the pictures have."""
    return np.asarray(np.median([colours(picture) for picture in training], axis=0))


def mean_distance(pictures: Sequence[Image.Image], training: Sequence[Image.Image]) -> float:
    """0 if every picture shows all that the training pictures have in common, 1 if none shows any."""
    wanted = in_common(training)
    shown = [np.minimum(colours(picture), wanted).sum() / wanted.sum() for picture in pictures]
    return float(1 - np.mean(shown))
