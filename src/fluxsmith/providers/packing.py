"""The pictures of a finetune as one zip: 01.png with its caption in 01.txt, as BFL and fal take them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

from fluxsmith.providers.base import TrainingPicture


def packed(pictures: Sequence[TrainingPicture]) -> bytes:
    """The zip."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:  # PNGs do not shrink further
        for number, picture in enumerate(pictures, start=1):
            archive.write(picture.path, f"{number:02}.png")
            archive.writestr(f"{number:02}.txt", picture.caption)
    return data.getvalue()
