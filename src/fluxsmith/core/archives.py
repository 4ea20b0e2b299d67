"""Zips of training pictures, as BFL's finetuning takes them, read without trusting a word in them.

Pictures are JPG, PNG or WebP in any folder of the zip, each with an optional caption in a `.txt` of the same
stem. Nothing is ever written under a name from the zip; what counts is the number of bytes that come
out, not what the zip declares. Decoding the pictures is `images`' part.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn

from fluxsmith.core.captions import (
    check_unique_names,
    is_junk,
    is_usable_name,
    match_captions,
    read_caption,
    shown_name,
)
from fluxsmith.core.images import picture_format
from fluxsmith.core.storage_errors import megabytes, storage_error
from fluxsmith.errors import ValidationError

PICTURE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp"})
UNREADABLE_ENDINGS = frozenset(
    {".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".svg", ".jp2", ".jxl", ".psd"}
)
_ARCHIVE_ENDINGS = frozenset({".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"})
_ARCHIVE_MAGIC = (b"PK\x03\x04", b"7z\xbc\xaf", b"Rar!", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_CHUNK_BYTES = 256 * 1024
_RATIO_FREE_BYTES = 1_000_000  # below this no ratio is a danger
_END_RECORD = struct.Struct("<4s4H2LH")
_MAX_LIST_BYTES = 4_000_000  # room for 10,000 long names; zipfile makes ten times as much of it
_PACK_AGAIN = "Pack the pictures again as an ordinary zip."


@dataclass(frozen=True)
class ZipLimits:
    """What a zip may hold; BFL allows 20 pictures."""

    max_pictures: int = 20
    max_files: int = 2_000
    max_file_bytes: int = 64 * 1024 * 1024
    max_total_bytes: int = 512 * 1024 * 1024
    max_ratio: int = 200  # a picture hardly packs; text seldom packs better than 20 to 1


@dataclass(frozen=True)
class ArchivedPicture:
    """A picture file out of a zip, not yet decoded, with the caption that lay beside it."""

    filename: str
    data: bytes
    caption: str | None


def read_training_zip(source: Path | bytes, limits: ZipLimits | None = None) -> list[ArchivedPicture]:
    """All pictures of a zip with their captions, in the order of their names.

    Args:
        source: the zip's bytes, or the file that holds it.
        limits: what is allowed; BFL's where None.

    Raises:
        ValidationError: `zip-…` or `caption-…`, saying which file inside is at fault.
        StorageError: the file cannot be read.
    """
    limits = limits or ZipLimits()
    with _opened(source) as archive:
        entries = _checked_entries(archive, limits)
        return _Reader(archive, limits).pictures(entries)


def is_zip(filename: str, head: bytes) -> bool:
    """Whether an upload is meant to be a zip, by its name or its first bytes."""
    return filename.lower().endswith(".zip") or head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def read_base64(text: str, *, field: str = "file_data") -> bytes:
    """Decode base64 from a request body; a `data:…;base64,` prefix and line breaks are tolerated.

    Raises:
        ValidationError: `bad-base64`; empty, or not base64.
    """
    body = re.sub(r"\s+", "", text)
    if body.startswith("data:"):
        body = body.partition(",")[2]
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise ValidationError(
            "bad-base64",
            "The file data is empty or is not base64.",
            hint="Send the zip's bytes as standard base64 text (with + and /, padded with =).",
            field=field,
        )
    return data


def check_picture_count(count: int, most: int) -> None:
    """Refuse a set without pictures, or with too many.

    Raises:
        ValidationError: `no-pictures` or `too-many-pictures`.
    """
    if count == 0:
        raise ValidationError(
            "no-pictures",
            "There is no picture in it; pictures must be JPG, PNG or WebP.",
            hint="Add at least one; five or more work better.",
            field="pictures",
        )
    if count > most:
        raise ValidationError(
            "too-many-pictures",
            f"There are {count} pictures; at most {most} are allowed.",
            hint="Keep the best ones: sharp, varied, and of the one thing to learn.",
            field="pictures",
        )


class _Reader:
    """Reads the entries of one zip within one budget of bytes."""

    def __init__(self, archive: zipfile.ZipFile, limits: ZipLimits) -> None:
        self._archive = archive
        self._limits = limits
        self._left = limits.max_total_bytes

    def pictures(self, entries: dict[str, zipfile.ZipInfo]) -> list[ArchivedPicture]:
        names = [name for name, entry in entries.items() if self._is_picture(name, entry)]
        check_picture_count(len(names), self._limits.max_pictures)
        texts = {
            name: read_caption(self._read(name, entry), name)
            for name, entry in entries.items()
            if _ending(name) == ".txt"
        }
        captions = match_captions(names, texts)
        return [ArchivedPicture(n, self._read(n, entries[n]), captions.get(n)) for n in sorted(names)]

    def _is_picture(self, name: str, entry: zipfile.ZipInfo) -> bool:
        """By the ending, else by the first bytes: a picture may be wrongly named, an archive may not."""
        if _ending(name) == ".txt":
            return False
        if _ending(name) in PICTURE_ENDINGS | UNREADABLE_ENDINGS:
            return True
        head = self._head(name, entry)
        if _ending(name) in _ARCHIVE_ENDINGS or head.startswith(_ARCHIVE_MAGIC):
            _refuse(
                "zip-nested",
                f"'{name}' inside the zip is an archive itself.",
                "Put the pictures directly into one zip.",
            )
        return picture_format(head) is not None

    def _head(self, name: str, entry: zipfile.ZipInfo) -> bytes:
        with _reading(name), self._archive.open(entry) as file:
            return file.read(16)

    def _read(self, name: str, entry: zipfile.ZipInfo) -> bytes:
        out = bytearray()
        with _reading(name), self._archive.open(entry) as file:
            while chunk := file.read(_CHUNK_BYTES):
                out += chunk
                self._left -= len(chunk)
                self._check_budget(name, entry, len(out))
        return bytes(out)

    def _check_budget(self, name: str, entry: zipfile.ZipInfo, size: int) -> None:
        limits = self._limits
        if size > _RATIO_FREE_BYTES and size > limits.max_ratio * max(1, entry.compress_size):
            _refuse(
                "zip-bomb",
                f"'{name}' inside the zip unpacks to more than {limits.max_ratio} times its packed size; "
                "no picture does that.",
            )
        if size > limits.max_file_bytes:
            _refuse(
                "zip-bomb",
                f"'{name}' inside the zip is larger than {megabytes(limits.max_file_bytes)}.",
                "Scale the picture down: training uses one megapixel of it at most.",
            )
        if self._left < 0:
            _refuse(
                "zip-bomb",
                f"The zip unpacks to more than {megabytes(limits.max_total_bytes)}.",
                "Scale the pictures down: training uses one megapixel of each at most.",
            )


@contextmanager
def _opened(source: Path | bytes) -> Iterator[zipfile.ZipFile]:
    if isinstance(source, bytes):
        yield from _archive(io.BytesIO(source))
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise storage_error(error, source) from error
    with file:
        yield from _archive(file)


def _archive(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    _check_end_record(file)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        _refuse("zip-damaged", "The zip is damaged: its list of files cannot be read.", cause=error)
    with archive:
        yield archive


def _check_end_record(file: BinaryIO) -> None:
    """Look at the zip's last record before zipfile builds an object for every name it announces."""
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        _refuse("zip-empty", "The zip is empty (0 bytes).")
    start = max(0, size - _END_RECORD.size - 0xFFFF)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END_RECORD.size:
        file.seek(0)
        if file.read(4) == b"PK\x03\x04":
            _refuse("zip-damaged", "The zip is cut off: its end is missing.", "Upload it again.")
        _refuse("zip-unreadable", "The file is not a zip.")
    _, _, _, _, count, list_bytes, _, _ = _END_RECORD.unpack_from(tail, at)
    if list_bytes > _MAX_LIST_BYTES:
        shown = f"{count:,} files in a list of {megabytes(list_bytes)}"
        _refuse("zip-bomb", f"The zip lists {shown}; that is no set of pictures.")
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":
        _refuse("zip-bomb", "The zip is of the kind for more than 65,535 files or 4 GB (Zip64).")


def _checked_entries(archive: zipfile.ZipFile, limits: ZipLimits) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by their names, junk left out, once nothing about them is unsafe."""
    entries = archive.infolist()
    if not entries:
        _refuse("zip-empty", "The zip is empty: it holds no files.")
    if len(entries) > limits.max_files:
        _refuse("zip-bomb", f"The zip lists {len(entries):,} files; at most {limits.max_files:,} are read.")
    kept = [(_safe_name(entry), entry) for entry in entries]
    kept = [(name, entry) for name, entry in kept if not (entry.is_dir() or is_junk(name))]
    for name, entry in kept:
        _check_kind(name, entry)
    check_unique_names([name for name, _ in kept])
    return dict(kept)


def _safe_name(entry: zipfile.ZipInfo) -> str:
    name = entry.orig_filename.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        _refuse("zip-unsafe-name", f"The zip names a file outside of itself: {shown_name(name)}.")
    if not is_usable_name(name):
        _refuse("zip-unsafe-name", f"The zip holds a file whose name cannot be used: {shown_name(name)}.")
    return name


def _check_kind(name: str, entry: zipfile.ZipInfo) -> None:
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        _refuse("zip-link", f"'{name}' inside the zip is a link or another special file, not a picture.")
    if entry.header_offset < 0:
        _refuse("zip-damaged", f"'{name}' inside the zip is damaged.")
    if entry.flag_bits & 0x41:
        _refuse("zip-encrypted", f"The zip is encrypted ('{name}').", "Pack it again without a password.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        _refuse("zip-unreadable", f"'{name}' inside the zip is packed by an uncommon method.")


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        struct.error,
        UnicodeDecodeError,
    ) as error:
        _refuse("zip-damaged", f"'{name}' inside the zip is damaged.", cause=error)


def _refuse(code: str, message: str, hint: str = _PACK_AGAIN, *, cause: Exception | None = None) -> NoReturn:
    raise ValidationError(code, message, hint=hint, field="pictures") from cause
