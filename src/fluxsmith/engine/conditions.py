"""Pictures that a drawing follows: references, a control, and a picture of which a part is drawn anew.

Files are plain RGB PNGs that were decoded and checked when they came in. A reference is shown to the model as
further tokens, at the size that the model looks at references with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from fluxsmith.engine.controls import HIGH, LOW, edges, relief
from fluxsmith.engine.sizes import MULTIPLE
from fluxsmith.engine.steering import WantedMap
from fluxsmith.errors import EngineError

_LEAST_SIDE, _MOST_ASPECT = 64, 4
"""References that diffusers' pipeline takes; it would go to 8:1, of which a model sees little."""


@dataclass(frozen=True)
class ControlUse:
    """A picture whose edges or relief the drawing follows; `ready` if it shows just these already."""

    kind: Literal["canny", "depth"]
    path: Path
    low: int = LOW
    high: int = HIGH
    ready: bool = False


@dataclass(frozen=True)
class FillUse:
    """A picture that is kept, but where the mask is white: there it is drawn anew."""

    picture: Path
    mask: Path


@dataclass(frozen=True)
class Conditions:
    """What a family draws by, at the model's own sizes.

    Args:
        references: pictures of any size.
        latent_fill: (rows × columns of tokens, channels) latents of the picture to keep, and (tokens, 1) ones
            where it is drawn anew; or None.
        wanted: what the drawing is led along, for a model that does not see controls; or None.
    """

    references: tuple[Image.Image, ...] = ()
    latent_fill: tuple[Tensor, Tensor] | None = None
    wanted: WantedMap | None = None


def shown_references(
    references: tuple[Path, ...],
    image_prompts: tuple[Path, ...],
    strength: float,
    control: ControlUse | None,
    side: int | None,
) -> tuple[Image.Image, ...]:
    """The pictures that the model is shown, in this order.

    Args:
        references: as they are.
        image_prompts: as clearly as `strength` says.
        strength: 1 shows image prompts as they are, 0 not at all; between the two they fade into their own
            mean colour.
        control: its edges or relief, for a model that sees controls.
        side: the shorter one at which the model looks at references, in pixels; None for their own.

    Raises:
        EngineError: `picture-unreadable`.
    """
    pictures = [read_rgb(path) for path in references]
    pictures += [_faded(read_rgb(path), strength) for path in image_prompts if strength > 0]
    if control is not None:
        pictures.append(_control(control, read_rgb(control.path)))
    return tuple(_sized(picture, side) for picture in pictures)


def wanted_map(control: ControlUse, width: int, height: int) -> WantedMap:
    """The edges or relief that a drawing of this size, in pixels, is led along.

    Raises:
        EngineError: `picture-unreadable`.
    """
    picture = read_rgb(control.path).resize((width, height), Image.Resampling.LANCZOS)
    values = np.asarray(_control(control, picture).convert("L"), dtype=np.float32) / 255
    return WantedMap(control.kind, torch.from_numpy(values)[None, None])


def pixels(picture: Image.Image) -> Tensor:
    """(1, 3, h, w) in [-1, 1]."""
    values = torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32))
    return (values.permute(2, 0, 1) / 127.5 - 1).unsqueeze(0)


def drawn_tokens(mask: Image.Image, rows: int, columns: int) -> Tensor:
    """(rows × columns, 1): 1 for each token of which any pixel is drawn anew."""
    values = torch.from_numpy(np.asarray(mask.convert("L"), dtype=np.float32)) / 255
    most = torch.nn.functional.adaptive_max_pool2d(values[None, None], (rows, columns))
    return (most > 0.5).float().view(-1, 1)


def composed(drawn: Image.Image, picture: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture where the mask is black, what was drawn where it is white, a blend where it is gray."""
    size = picture.size
    drawn = drawn if drawn.size == size else drawn.resize(size, Image.Resampling.LANCZOS)
    return Image.composite(drawn, picture, mask)


def read_rgb(path: Path) -> Image.Image:
    """A picture whole in memory.

    Raises:
        EngineError: `picture-unreadable`.
    """
    return _read(path, "RGB")


def read_mask(path: Path, size: tuple[int, int]) -> Image.Image:
    """A mask of the size of its picture; white is drawn anew.

    Raises:
        EngineError: `picture-unreadable`.
    """
    mask = _read(path, "L")
    return mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)


def _read(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as opened:
            return opened.convert(mode)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise EngineError(
            "picture-unreadable", f"The picture {path.name} cannot be read.", hint="Send the request again."
        ) from error


def _faded(picture: Image.Image, strength: float) -> Image.Image:
    if strength >= 1:
        return picture
    mean = picture.resize((1, 1), Image.Resampling.BOX).resize(picture.size)
    return Image.blend(mean, picture, strength)


def _control(control: ControlUse, picture: Image.Image) -> Image.Image:
    if control.ready:
        return picture
    return edges(picture, control.low, control.high) if control.kind == "canny" else relief(picture)


def _sized(picture: Image.Image, side: int | None) -> Image.Image:
    """A reference as large as the model looks at it, and as large and square as the pipeline takes it."""
    shorter, longer = min(picture.size), max(picture.size)
    wanted = side or max(shorter, _LEAST_SIDE)
    if wanted == shorter and longer <= _MOST_ASPECT * shorter:
        return picture
    along = min(round(longer * wanted / shorter / MULTIPLE) * MULTIPLE, _MOST_ASPECT * wanted)
    size = (along, wanted) if picture.width > picture.height else (wanted, along)
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
