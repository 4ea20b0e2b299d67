"""Pictures as the trainer sees them: a centred square, scaled to the training side.

Takes RGB PNG files that the dataset service has already decoded, turned and checked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from fluxsmith.errors import EngineError


def read_pixels(path: Path, side: int) -> Tensor:
    """(3, side, side) pixels in [-1, 1].

    Raises:
        EngineError: `picture-unreadable`.
    """
    try:
        with Image.open(path) as opened:
            picture = ImageOps.fit(opened.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise EngineError(
            "picture-unreadable",
            f"The training picture {path.name} cannot be read.",
            hint="Upload the dataset again.",
        ) from error
    values = torch.from_numpy(np.asarray(picture, dtype=np.float32))
    return values.permute(2, 0, 1) / 127.5 - 1
