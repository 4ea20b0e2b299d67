"""Takes in the pictures that a drawing follows: reads, checks and stores them, and tells its size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fluxsmith.core.archives import read_base64
from fluxsmith.core.fill_pictures import Margins, alpha_mask, expanded, read_mask
from fluxsmith.core.images import DecodedPicture, read_picture
from fluxsmith.core.storage import StorageService
from fluxsmith.errors import FluxsmithError, ValidationError
from fluxsmith.services.inference.schema import (
    MAX_PIXELS,
    MAX_SIDE,
    MIN_SIDE,
    ExpandMargins,
    GenerationRequest,
    InputPicture,
    PictureRole,
    UsedPicture,
)

MOST_BYTES = 50_000_000
"""Of one picture, as a file."""
Fetch = Callable[[str], bytes]
"""What lies at an address; refuses addresses inside the server's own network."""


@dataclass(frozen=True)
class _Read:
    role: PictureRole
    png: bytes
    preprocessed: bool = False
    margins: ExpandMargins | None = None


@dataclass(frozen=True)
class Intake:
    """Pictures that were read, and the size that the drawing has by them; None if it is as asked for."""

    pictures: tuple[_Read, ...]
    size: tuple[int, int] | None

    def store(self, storage: StorageService, generation_id: str) -> list[UsedPicture]:
        """Keep the files of a generation.

        Raises:
            StorageError: the disk refused.
        """
        kept = []
        for number, picture in enumerate(self.pictures):
            key = f"{folder_of(generation_id)}/{number}-{picture.role}.png"
            kept.append(
                UsedPicture(
                    role=picture.role,
                    storage_key=key,
                    preprocessed=picture.preprocessed,
                    sha256=storage.put(key, picture.png).sha256,
                    margins=picture.margins,
                )
            )
        return kept


def folder_of(generation_id: str) -> str:
    """Where the pictures of a generation lie that it follows."""
    return f"generations/{generation_id}/followed"


def take_in(request: GenerationRequest, fetch: Fetch) -> Intake:
    """Read and check the pictures of a request.

    Raises:
        ValidationError: one cannot be used; the message says which and why.
        PermissionDenied, APIError: an address cannot be read.
    """
    files = [(one, *_file(one, number, fetch)) for number, one in enumerate(request.pictures, 1)]
    read: list[_Read] = []
    sizes: list[tuple[int, int]] = []
    for one, data, name in files:
        if one.role == "mask":
            continue
        picture = read_picture(data, name)
        size = (picture.width, picture.height)
        if one.role == "fill":
            masks = [(other, called) for wanted, other, called in files if wanted.role == "mask"]
            filled, size = _fill(request, picture, data, name, masks)
            read += filled
        else:
            read.append(_Read(one.role, picture.png, one.preprocessed))
        sizes.append(size)
    return Intake(tuple(read), _size(request, read, sizes))


def _fill(
    request: GenerationRequest,
    picture: DecodedPicture,
    data: bytes,
    name: str,
    masks: Sequence[tuple[bytes, str]],
) -> tuple[list[_Read], tuple[int, int]]:
    """The picture to keep and the mask of what is drawn anew."""
    width, height = picture.width, picture.height
    margins = Margins(**request.expand.model_dump()) if request.expand else Margins()
    size = (width + margins.left + margins.right, height + margins.top + margins.bottom)
    _check_size(size)
    if request.expand is not None:
        wide, mask = expanded(picture.png, margins)
        return [_Read("fill", wide, margins=request.expand), _Read("mask", mask)], size
    given = read_mask(*masks[0], width, height) if masks else alpha_mask(data, name, width, height)
    if given is None:
        raise ValidationError(
            "mask-missing",
            "It is not said which part of the picture is to be drawn anew.",
            hint="Send a mask that is white there, or a picture that is transparent there.",
            field="mask",
        )
    return [_Read("fill", picture.png), _Read("mask", given)], size


def _size(
    request: GenerationRequest, read: Sequence[_Read], sizes: Sequence[tuple[int, int]]
) -> tuple[int, int] | None:
    roles = [one.role for one in read if one.role != "mask"]
    if "fill" in roles:
        return sizes[roles.index("fill")]
    if request.size_from_picture and sizes:
        width, height = sizes[0]
        return max(width, MIN_SIDE), max(height, MIN_SIDE)
    return None


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < MIN_SIDE or max(size) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ValidationError(
            "picture-size",
            f"A picture of {width:,} × {height:,} pixels cannot be drawn: each side must have {MIN_SIDE} to "
            f"{MAX_SIDE:,} pixels, both together at most {MAX_PIXELS:,}.",
            hint="Choose another picture, or other margins.",
            field="pictures",
        )


def _file(one: InputPicture, number: int, fetch: Fetch) -> tuple[bytes, str]:
    """Content and name of a picture."""
    name = f"picture {number} ({one.role})"
    if one.data.startswith(("http://", "https://")):
        return fetch(one.data), name
    try:
        return read_base64(one.data, field="pictures"), name
    except FluxsmithError as error:
        raise ValidationError(
            "bad-base64",
            f"The {name} is neither base64 nor an address.",
            hint="Send the file's bytes as standard base64 text, or its address (https://…).",
            field="pictures",
        ) from error
