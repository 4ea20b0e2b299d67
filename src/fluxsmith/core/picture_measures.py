"""What can be told of a picture without a model: how sharp, how bright, what frame, and a fingerprint.

Measures only; what they mean for a training set is judged elsewhere. All work is libvips', on the plain RGB
PNGs that `core.images` makes.
"""

from __future__ import annotations

import itertools
import math
import statistics
from array import array
from dataclasses import dataclass
from typing import Any

import pyvips

SHARPNESS_SIDE_PX = 512
"""Sharpness is measured on a picture no larger than this: softer than that is soft for any model."""
_FINGERPRINT_SIDE = 16
_BLOCK_PX = 8  # JPEG's blocks
_BAR_LUMA = 12.0
_LAPLACE = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


@dataclass(frozen=True)
class PictureMeasures:
    """One picture.

    Args:
        width: in pixels. height: in pixels.
        sharpness: strongest Laplacian as a share of the contrast; about 1 for a hard edge, 0.03 for one that
            is blurred by three pixels.
        darkest: luma below which 5 % of the pixels are, 0 to 255.
        brightest: luma above which 5 % of the pixels are, 0 to 255.
        blockiness: how much larger steps are at every eighth pixel than between; 1 where there is no grid.
        bars: share of the height (or width) that black bars at both ends take together.
        border: mean red, green and blue of the outermost pixels, or None where they are not of one colour.
        fingerprint: 256 bits; few differ between two versions of one picture (difference hash).
    """

    width: int
    height: int
    sharpness: float
    darkest: float
    brightest: float
    blockiness: float
    bars: float
    border: tuple[float, float, float] | None
    fingerprint: int


def measure_picture(png: bytes) -> PictureMeasures:
    """Measure a plain RGB picture of at least 16 pixels a side.

    Raises:
        pyvips.Error: it cannot be decoded.
    """
    image = pyvips.Image.new_from_buffer(png, "").copy_memory()
    gray = image.colourspace("b-w")
    return PictureMeasures(
        width=image.width,
        height=image.height,
        sharpness=_sharpness(gray),
        darkest=gray.percent(5),
        brightest=gray.percent(95),
        blockiness=_blockiness(gray),
        bars=_bars(gray),
        border=_border(image),
        fingerprint=_fingerprint(gray),
    )


def differing_share(one: int, other: int) -> float:
    """Share of the bits in which two fingerprints differ; about 0.5 for unrelated pictures."""
    return (one ^ other).bit_count() / _FINGERPRINT_SIDE**2


def _sharpness(gray: Any) -> float:
    scale = min(1.0, SHARPNESS_SIDE_PX / max(gray.width, gray.height))
    small = gray.resize(scale) if scale < 1 else gray
    contrast = small.percent(99) - small.percent(1)
    strongest = small.cast("float").conv(_LAPLACE, precision="float").abs().cast("ushort").percent(99.9)
    return float(strongest / max(contrast, 16.0))


def _blockiness(gray: Any) -> float:
    """The smaller of both directions: a grid has lines in both. Medians, so that one edge is no grid."""
    return min(_grid_share(gray), _grid_share(gray.rot90().fliphor()))


def _grid_share(gray: Any) -> float:
    if gray.width < 4 * _BLOCK_PX:
        return 1.0
    whole = gray.cast("float")
    steps = whole.crop(1, 0, gray.width - 1, gray.height) - whole.crop(0, 0, gray.width - 1, gray.height)
    columns, _ = steps.abs().project()
    sums = _values(columns)
    on = [value for x, value in enumerate(sums) if x % _BLOCK_PX == _BLOCK_PX - 1]
    off = [value for x, value in enumerate(sums) if x % _BLOCK_PX != _BLOCK_PX - 1]
    return float((statistics.median(on) + gray.height) / (statistics.median(off) + gray.height))


def _bars(gray: Any) -> float:
    columns, rows = gray.project()
    across = [value / gray.height for value in _values(columns)]
    down = [value / gray.width for value in _values(rows)]
    return max(_dark_ends(across), _dark_ends(down))


def _values(line: Any) -> list[float]:
    """The numbers of a picture that is one pixel wide or high."""
    return array("d", bytes(line.cast("double").write_to_memory())).tolist()


def _dark_ends(lumas: list[float]) -> float:
    """Share of a line that is dark at its start and at its end, if both are and the middle is not."""
    first = next((i for i, luma in enumerate(lumas) if luma > _BAR_LUMA), len(lumas))
    last = next((i for i, luma in enumerate(reversed(lumas)) if luma > _BAR_LUMA), len(lumas))
    return (first + last) / len(lumas) if first and last and first < len(lumas) else 0.0


def _border(image: Any) -> tuple[float, float, float] | None:
    """The outermost fiftieth on each side, at least one pixel."""
    wide, high = math.ceil(image.width / 50), math.ceil(image.height / 50)
    strips = [
        image.crop(0, 0, image.width, high),
        image.crop(0, image.height - high, image.width, high),
        image.crop(0, 0, wide, image.height),
        image.crop(image.width - wide, 0, wide, image.height),
    ]
    means = [[strip[band].avg() for band in range(3)] for strip in strips]
    for band in range(3):
        spread = max(strip[band].deviate() for strip in strips)
        values = [mean[band] for mean in means]
        if spread > 12 or max(values) - min(values) > 12:
            return None
    red, green, blue = (sum(mean[band] for mean in means) / len(means) for band in range(3))
    return red, green, blue


def _fingerprint(gray: Any) -> int:
    """A bit for each pixel of 16 × 16 that is brighter than its right neighbour (Krawetz 2013, dHash)."""
    side = _FINGERPRINT_SIDE
    small = gray.thumbnail_image(side + 1, height=side, size="force").cast("uchar").write_to_memory()
    bits = 0
    for row in range(side):
        line = small[row * (side + 1) : (row + 1) * (side + 1)]
        for left, right in itertools.pairwise(line):
            bits = bits << 1 | (left > right + 2)
    return bits
