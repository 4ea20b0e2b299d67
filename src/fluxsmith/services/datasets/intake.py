"""What was handed over, sorted: pictures with their captions, out of loose files and a zip.

Nothing is decoded or stored here; `service` does that, one picture at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fluxsmith.core.archives import ZipLimits, check_picture_count, is_zip, read_training_zip
from fluxsmith.core.captions import (
    check_unique_names,
    is_junk,
    is_usable_name,
    match_captions,
    read_caption,
    shown_name,
)
from fluxsmith.core.storage_errors import megabytes, storage_error
from fluxsmith.core.validation import ValidationService
from fluxsmith.errors import ValidationError
from fluxsmith.services.datasets.schema import Caption, Upload

MAX_FILE_BYTES = ZipLimits.max_file_bytes


@dataclass(frozen=True)
class Candidate:
    """A file that should become a picture of the dataset."""

    filename: str
    data: bytes | Path
    caption: str | None

    def read(self) -> bytes:
        """The file's content."""
        return _read(self.filename, self.data)


def sort_uploads(uploads: Sequence[Upload], max_pictures: int) -> list[Candidate]:
    """Pictures in the order of the uploads (a zip's by name), each with its caption.

    Raises:
        ValidationError: see `core.archives` and `core.captions`; also `bad-file-name`,
            `several-zips`, `file-too-large` and `invalid-input` for a caption that cannot be used.
    """
    zips, captions, pictures = _by_kind(uploads)
    found = [Candidate(upload.filename, upload.data, None) for upload in pictures]
    if zips:
        limits = ZipLimits(max_pictures=max_pictures)
        archived = read_training_zip(zips[0].data, limits)
        found += [Candidate(item.filename, item.data, item.caption) for item in archived]
    check_unique_names([item.filename for item in found])
    check_picture_count(len(found), max_pictures)
    texts = {item.filename: read_caption(_read(item.filename, item.data), item.filename) for item in captions}
    loose = match_captions([item.filename for item in found], texts)
    return [_captioned(item, loose.get(item.filename, item.caption)) for item in found]


def _by_kind(uploads: Sequence[Upload]) -> tuple[list[Upload], list[Upload], list[Upload]]:
    """Zips, caption files and the rest, under names without folders."""
    named = [Upload(_plain_name(upload.filename), upload.data) for upload in uploads]
    named = [upload for upload in named if not is_junk(upload.filename)]
    check_unique_names([upload.filename for upload in named])
    zips = [upload for upload in named if is_zip(upload.filename, _head(upload))]
    if len(zips) > 1:
        raise ValidationError(
            "several-zips",
            f"There are {len(zips)} zips; only one can be taken at a time.",
            hint="Put all pictures into one zip.",
            field="pictures",
        )
    rest = [upload for upload in named if upload not in zips]
    captions = [upload for upload in rest if upload.filename.lower().endswith(".txt")]
    return zips, captions, [upload for upload in rest if upload not in captions]


def _captioned(item: Candidate, text: str | None) -> Candidate:
    try:
        caption = ValidationService().parse(Caption, {"caption": text}).caption
    except ValidationError as error:
        message = f"'{item.filename}': {error.message}"
        raise ValidationError(error.code, message, hint=error.hint, field="pictures") from error
    return Candidate(item.filename, item.data, caption)


def _plain_name(filename: str) -> str:
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    if not is_usable_name(name):
        raise ValidationError(
            "bad-file-name",
            f"A file's name cannot be used: {shown_name(filename)}.",
            hint="Rename it: up to 255 characters, none of them control characters.",
            field="pictures",
        )
    return name


def _head(upload: Upload) -> bytes:
    if isinstance(upload.data, bytes):
        return upload.data[:4]
    try:
        with upload.data.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise storage_error(error, upload.data) from error


def _read(filename: str, data: bytes | Path) -> bytes:
    try:
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ValidationError(
                "file-too-large",
                f"'{filename}' has {megabytes(size)}; at most {megabytes(MAX_FILE_BYTES)} are read.",
                hint="Scale the picture down: training uses one megapixel of it at most.",
                field="pictures",
            )
        return data if isinstance(data, bytes) else data.read_bytes()
    except OSError as error:
        raise storage_error(error, Path(str(data))) from error
