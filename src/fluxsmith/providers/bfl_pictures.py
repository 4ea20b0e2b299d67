"""Pictures on their way to BFL: which field of an endpoint carries which, and that none is too large.

A picture is read, and turned into base64, when its request is sent, and not kept: a request that is sent
again after a crash is made of the same files. Nothing here sends anything.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fluxsmith.contract.endpoints import Endpoint
from fluxsmith.core.fill_pictures import Margins, middle
from fluxsmith.core.storage_errors import storage_error
from fluxsmith.errors import UnsupportedError, ValidationError
from fluxsmith.providers.base import Followed

MOST_BYTES = 20_000_000
"""Of one picture as a file, by BFL's guides to editing."""


@dataclass(frozen=True)
class SentPicture:
    """A PNG file that a request carries; without the `margins` that it was expanded by."""

    path: Path
    margins: Margins | None = None

    def check(self) -> None:
        """Refuse a file that is larger than BFL takes.

        Raises:
            ValidationError: `picture-too-large`.
            StorageError: the file cannot be read.
        """
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise storage_error(error, self.path) from error
        if size > MOST_BYTES:
            raise ValidationError(
                "picture-too-large",
                f"A picture to follow has {size / 1e6:,.1f} MB as a PNG; "
                f"BFL's API takes at most {MOST_BYTES / 1e6:,.0f} MB.",
                hint="Scale it down, or draw on this machine.",
                field="pictures",
            )

    def encoded(self) -> str:
        """The picture as base64, as a field holds it.

        Raises:
            StorageError: the file cannot be read.
        """
        try:
            png = self.path.read_bytes()
        except OSError as error:
            raise storage_error(error, self.path) from error
        return base64.b64encode(middle(png, self.margins) if self.margins else png).decode()


def uses_of(followed: Followed) -> frozenset[str]:
    """The capabilities that these pictures ask for; words alone ask for text."""
    uses = {
        "edit": bool(followed.references),
        "image_prompt": bool(followed.image_prompts),
        "fill": followed.fill is not None,
    }
    asked = {use for use, wanted in uses.items() if wanted}
    if followed.control is not None:
        asked.add(followed.control.kind)
    return frozenset(asked or {"text"})


def picture_fields(endpoint: Endpoint, followed: Followed, title: str) -> dict[str, SentPicture]:
    """The endpoint's fields for pictures that it can follow, each with its picture.

    Raises:
        UnsupportedError: it takes fewer pictures in one use, or none that shows edges or relief already.
    """
    carried = {
        **_several(endpoint, "edit", followed.references, title),
        **_several(endpoint, "image_prompt", followed.image_prompts, title),
    }
    control, fill = followed.control, followed.fill
    if control is not None:
        field = "preprocessed_image" if control.ready else "control_image"
        if field not in endpoint.picture_fields:
            raise UnsupportedError(
                "ready-control-unsupported",
                f"{title} finds edges and relief itself; it takes no picture that shows them already.",
                hint="Send the picture that they are to be found in.",
                field="pictures",
            )
        carried[field] = SentPicture(control.path)
    if fill is not None and expands(endpoint):
        carried["image"] = SentPicture(fill.picture, fill.margins)
    elif fill is not None:
        carried |= {"image": SentPicture(fill.picture), "mask": SentPicture(fill.mask)}
    return carried


def expands(endpoint: Endpoint) -> bool:
    """Whether an endpoint draws a picture further at its sides, by margins instead of a mask."""
    return "top" in endpoint.body.model_fields


def _several(endpoint: Endpoint, use: str, pictures: Sequence[Path], title: str) -> dict[str, SentPicture]:
    fields = [field for field, asks in endpoint.picture_fields.items() if asks == use]
    if len(pictures) > len(fields):
        most = "one picture" if len(fields) == 1 else f"{len(fields)} pictures"
        raise UnsupportedError(
            "too-many-pictures",
            f"{title} takes at most {most} of the use '{use}', not {len(pictures)}.",
            hint="Leave some out.",
            field="pictures",
        )
    return {field: SentPicture(path) for field, path in zip(fields, pictures, strict=False)}
