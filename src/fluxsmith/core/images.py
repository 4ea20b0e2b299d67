"""Pictures on their way in: any JPEG, PNG or WebP becomes a plain RGB PNG that training can trust.

Decoding is libvips' (streaming, bounded memory); the format is told by the content, never by the name, and
only the three decoders above are reachable. Nothing here stores files or knows what a dataset is.
Source of the size rule: BFL scales training pictures down to one megapixel.
"""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass
from typing import Any, NoReturn

import pyvips

from fluxsmith.errors import ValidationError

MIN_SIDE_PX = 16  # the smallest unit that the models' latents can show
MAX_PIXELS = 100_000_000  # decoded in strips; beyond it even the strips of odd encodings grow too large
TRAINING_PIXELS = 1024 * 1024  # one megapixel as the field counts it: a 1024×1024 picture is kept as it is
FORMATS_HINT = "Save it again as JPG, PNG or WebP."

_EXIF_SIDEWAYS = 5  # orientations from 5 on swap width and height
_MAGIC = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"))
_OTHER_MAGIC = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip"),
)
_OTHER_BRANDS = {b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIC", b"avif": "an AVIF"}

pyvips.cache_set_max(0)  # pictures are read once; the cache would only hold their memory
logging.getLogger("pyvips").setLevel(logging.WARNING)  # its debug lines quote arguments, so image bytes


@dataclass(frozen=True)
class DecodedPicture:
    """A picture ready for training: RGB, 8 bit, upright, on white, at most one megapixel, no metadata.

    `sha256` is of `png`; `notes` tell in words what was left out.
    """

    png: bytes
    width: int
    height: int
    sha256: str
    notes: tuple[str, ...] = ()


def picture_format(head: bytes) -> str | None:
    """'JPEG', 'PNG' or 'WebP' by a file's first bytes, or None."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def read_picture(data: bytes, filename: str) -> DecodedPicture:
    """Decode, check and normalise one picture.

    Args:
        data: the file's content.
        filename: what to call it in messages; its ending does not matter.

    Raises:
        ValidationError: `picture-empty`, `picture-unknown`, `picture-too-large`, `picture-too-small`
            or `picture-damaged`.
    """
    kind = _readable_format(data, filename)
    try:
        source = _load(data, kind)
        width, height = _upright_size(source)
        _check_size(width, height, filename)
        shrunk = _shrunk_on_load(data, kind, source)
        png, out_width, out_height = _normalised(shrunk, *_target(width, height))
    except pyvips.Error as error:
        raise _damaged(kind, filename) from error
    return DecodedPicture(png, out_width, out_height, hashlib.sha256(png).hexdigest(), _notes(data, source))


def open_picture(data: bytes, filename: str) -> Any:
    """A picture as libvips' image, upright, with its alpha; decoded when it is used.

    Raises:
        ValidationError: `picture-empty`, `picture-unknown`, `picture-too-large`, `picture-too-small`
            or `picture-damaged`.
    """
    kind = _readable_format(data, filename)
    try:
        source = _load(data, kind)
        _check_size(source.width, source.height, filename)
        return source.copy_memory().autorot()
    except pyvips.Error as error:
        raise _damaged(kind, filename) from error


@dataclass(frozen=True)
class FittedPicture:
    """A picture drawn elsewhere, brought to the size that was asked for, and the size it came in."""

    png: bytes
    native_width: int
    native_height: int


def fit_picture(data: bytes, filename: str, width: int, height: int) -> FittedPicture:
    """Decode a whole picture and bring it to exactly `width` × `height`, cutting off what is beyond.

    Raises:
        ValidationError: as `read_picture`.
    """
    kind = _readable_format(data, filename)
    try:
        source = _load(data, kind)
        _check_size(source.width, source.height, filename)
        image = source.thumbnail_image(width, height=height, crop="centre", export_profile="srgb")
        if image.interpretation != "srgb":
            image = image.colourspace("srgb")
        if image.hasalpha():
            image = image.flatten(background=[255, 255, 255])
        png: bytes = image.cast("uchar").pngsave_buffer(compression=6, keep="none")
    except pyvips.Error as error:
        raise _damaged(kind, filename) from error
    return FittedPicture(png, source.width, source.height)


def thumbnail(png: bytes, side: int) -> bytes:
    """A WebP of a stored picture, no larger than `side` × `side`."""
    image = pyvips.Image.new_from_buffer(png, "", access="sequential")
    small: bytes = image.thumbnail_image(side, height=side, size="down").webpsave_buffer(Q=82, keep="none")
    return small


def _readable_format(data: bytes, filename: str) -> str:
    """The format of a file's content; refuses what is empty or cannot be read."""
    if not data:
        raise _refused("picture-empty", f"'{filename}' is empty (0 bytes).", "Choose the original file.")
    kind = picture_format(data)
    if kind is None:
        _refuse_unknown(data, filename)
    return kind


def _load(data: bytes, kind: str, **options: Any) -> Any:
    """Open lazily with exactly this format's decoder; damage is an error, never grey areas."""
    loaders = {
        "JPEG": pyvips.Image.jpegload_buffer,
        "PNG": pyvips.Image.pngload_buffer,
        "WebP": pyvips.Image.webpload_buffer,
    }
    return loaders[kind](data, access="sequential", fail_on="error", **options)


def _field(image: Any, name: str) -> int:
    """An integer of the header, 1 where it is absent."""
    return int(image.get(name)) if image.get_typeof(name) else 1


def _upright_size(image: Any) -> tuple[int, int]:
    sideways = _field(image, "orientation") >= _EXIF_SIDEWAYS
    return (image.height, image.width) if sideways else (image.width, image.height)


def _target(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, math.sqrt(TRAINING_PIXELS / (width * height)))
    return max(1, int(width * scale)), max(1, int(height * scale))


def _check_size(width: int, height: int, filename: str) -> None:
    if width * height > MAX_PIXELS:
        raise _refused(
            "picture-too-large",
            f"'{filename}' has {width:,} × {height:,} pixels; "
            f"at most {MAX_PIXELS // 1_000_000} megapixels are read.",
            "Scale it down: training uses one megapixel of it at most.",
        )
    if min(width, height) < MIN_SIDE_PX:
        raise _refused(
            "picture-too-small",
            f"'{filename}' has {width:,} × {height:,} pixels; each side must have at least {MIN_SIDE_PX}.",
            "Choose a larger picture.",
        )
    if min(_target(width, height)) < MIN_SIDE_PX:
        raise _refused(
            "picture-too-small",
            f"'{filename}' has {width:,} × {height:,} pixels, too narrow: "
            f"scaled to one megapixel a side would have less than {MIN_SIDE_PX}.",
            "Cut out the part that matters.",
        )


def _shrunk_on_load(data: bytes, kind: str, source: Any) -> Any:
    """JPEG's decoder can halve up to three times for free; never below the size that is wanted."""
    if kind != "JPEG":
        return source
    most = math.sqrt(source.width * source.height / TRAINING_PIXELS)
    shrink = next(factor for factor in (8, 4, 2, 1) if factor <= max(most, 1))
    return _load(data, kind, shrink=shrink) if shrink > 1 else source


def _normalised(image: Any, width: int, height: int) -> tuple[bytes, int, int]:
    """PNG bytes and size of an image brought upright, to sRGB, onto white and into width × height."""
    image = image.thumbnail_image(width, height=height, size="down", export_profile="srgb")
    if image.interpretation != "srgb":
        image = image.colourspace("srgb")
    if image.hasalpha():
        image = image.flatten(background=[255, 255, 255])
    image = image.cast("uchar").copy(xres=1, yres=1)  # the same pixels give the same bytes
    return image.pngsave_buffer(compression=6, keep="none"), image.width, image.height


def _notes(data: bytes, source: Any) -> tuple[str, ...]:
    frames = _field(source, "n-pages")
    if frames > 1:
        return (f"first of {frames} frames taken",)
    return ("first frame taken",) if data.startswith(b"\x89PNG") and b"acTL" in data[:4096] else ()


def _refuse_unknown(data: bytes, filename: str) -> NoReturn:
    brand = _OTHER_BRANDS.get(data[8:12]) if data[4:8] == b"ftyp" else None
    kind = brand or next((words for magic, words in _OTHER_MAGIC if data.startswith(magic)), None)
    what = f"is {kind} file" if kind else "is not a picture that can be read"
    raise _refused(
        "picture-unknown", f"'{filename}' {what}; pictures must be JPG, PNG or WebP.", FORMATS_HINT
    )


def _damaged(kind: str, filename: str) -> ValidationError:
    return _refused(
        "picture-damaged",
        f"'{filename}' is damaged or cut off: it starts as a {kind} but cannot be read to its end.",
        "Copy or export the picture again.",
    )


def _refused(code: str, message: str, hint: str) -> ValidationError:
    return ValidationError(code, message, hint=hint, field="pictures")
