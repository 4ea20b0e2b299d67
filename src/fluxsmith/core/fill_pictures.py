"""Pictures of which a part is drawn anew: their masks, and wider canvases for them.

A mask is a gray PNG, white where something is drawn anew. All work is libvips', in bounded memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyvips

from fluxsmith.core.images import open_picture
from fluxsmith.errors import ValidationError

_WHITE, _BLACK = 255, 0


@dataclass(frozen=True)
class Margins:
    """Pixels added at each side of a picture."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


def alpha_mask(data: bytes, filename: str, width: int, height: int) -> bytes | None:
    """The mask of a picture's transparent parts, in another size; None if it is opaque all over.

    Raises:
        ValidationError: as `core.images.read_picture`.
    """
    image = open_picture(data, filename)
    try:
        if not image.hasalpha():
            return None
        alpha = image.extract_band(image.bands - 1).cast("uchar").copy_memory()
        if alpha.min() == _WHITE:
            return None
        return _mask_png(alpha.invert(), width, height)
    except pyvips.Error as error:
        raise _damaged(filename) from error


def read_mask(data: bytes, filename: str, width: int, height: int) -> bytes:
    """A mask in the size of its picture: brighter than half is white, transparent counts as black.

    Raises:
        ValidationError: as `core.images.read_picture`.
    """
    image = open_picture(data, filename)
    try:
        if image.hasalpha():
            image = image.flatten(background=[_BLACK] * (image.bands - 1))
        return _mask_png(image.colourspace("b-w").extract_band(0).cast("uchar"), width, height)
    except pyvips.Error as error:
        raise _damaged(filename) from error


def expanded(png: bytes, margins: Margins) -> tuple[bytes, bytes]:
    """A plain RGB picture on a wider canvas, and the mask of what was added; both as PNG.

    What is added continues the picture's edges, which is what the first noise levels see.
    """
    image = pyvips.Image.new_from_buffer(png, "")
    width = image.width + margins.left + margins.right
    height = image.height + margins.top + margins.bottom
    wide = image.embed(margins.left, margins.top, width, height, extend="copy")
    kept = pyvips.Image.black(image.width, image.height).cast("uchar")
    mask = kept.embed(margins.left, margins.top, width, height, extend="white")
    return _png(wide), _png(mask)


def middle(png: bytes, margins: Margins) -> bytes:
    """What an expanded picture was before its margins were added."""
    image = pyvips.Image.new_from_buffer(png, "")
    width = image.width - margins.left - margins.right
    height = image.height - margins.top - margins.bottom
    return _png(image.crop(margins.left, margins.top, width, height))


def _mask_png(gray: Any, width: int, height: int) -> bytes:
    sized = (
        gray.thumbnail_image(width, height=height, size="force") if _differs(gray, width, height) else gray
    )
    hard = (sized > _WHITE // 2).cast("uchar")
    return _png(hard.copy(interpretation="b-w"))


def _differs(image: Any, width: int, height: int) -> bool:
    return (image.width, image.height) != (width, height)


def _png(image: Any) -> bytes:
    written: bytes = image.pngsave_buffer(compression=6, keep="none")
    return written


def _damaged(filename: str) -> ValidationError:
    return ValidationError(
        "picture-damaged",
        f"'{filename}' is damaged or cut off: it cannot be read to its end.",
        hint="Copy or export the picture again.",
        field="pictures",
    )
