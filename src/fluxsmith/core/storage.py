"""Files of the studio: pictures, LoRAs, results, each under a key like `datasets/<id>/<sha256>.png`.

obstore reads, lists, renames and deletes. Its local store writes without fsync, under the umask, and holds
on to the space for a while after a full disk; so a file is written here, hashed on the way, and renamed
by obstore when it is whole. Rows say what a file means; nothing here knows owners or kinds.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from fluxsmith.core.storage_errors import storage_error, vanished
from fluxsmith.errors import StorageError, ValidationError

CHUNK_BYTES = 1024 * 1024
_MAX_KEY_CHARS = 300  # what the database's columns hold
_MAX_SEGMENT_CHARS = 200  # file systems take 255 bytes; the rest is for the temporary name
ABANDONED_AFTER_S = 24 * 3600.0
"""How long nothing was written to a temporary file that nobody can still be writing."""
_PART = re.compile(r"\.[0-9a-f]{32}\.part$")
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class StoredFile:
    """What was stored: its key, the SHA-256 of its content in hex, and its size."""

    key: str
    sha256: str
    size_bytes: int


class StorageService:
    """Puts, gets and deletes files by key; a file is there whole or not at all.

    Every method raises `ValidationError` for an impossible key and `StorageError` (codes `disk-full`,
    `read-only`, `not-permitted`, `file-vanished`, `file-damaged`, `too-many-files`, `io-error`) for
    what the disk refuses.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._ensure_folder(self._root)
        self._store = LocalStore(self._root)

    def put(self, key: str, data: bytes | BinaryIO | Path, *, sha256: str | None = None) -> StoredFile:
        """Store a file, replacing what the key held, and return when it would survive a power cut.

        Args:
            key: where.
            data: the content, an open binary file, or a local file to copy.
            sha256: the hash that the content must have, if known; else nothing is kept.
        """
        target = self._path(key)
        with _source(data) as chunks:
            self._ensure_folder(target.parent)
            meter = _Meter(chunks)
            part = f"{key}.{uuid.uuid4().hex}.part"
            try:
                self._write(self._root / part, meter)
                if sha256 is not None and meter.sha256 != sha256:
                    raise _damaged(target, sha256, meter.sha256)
                obstore.rename(self._store, part, key)
                _sync(target.parent)
            except (OSError, BaseError) as error:
                raise storage_error(error, target, written_bytes=meter.size_bytes) from error
            finally:
                with contextlib.suppress(OSError):
                    (self._root / part).unlink(missing_ok=True)
        return StoredFile(key=key, sha256=meter.sha256, size_bytes=meter.size_bytes)

    def get(self, key: str, *, sha256: str | None = None) -> bytes:
        """A whole file; with `sha256`, only if its content has that hash."""
        data = b"".join(self.open(key))
        found = hashlib.sha256(data).hexdigest()
        if sha256 is not None and found != sha256:
            raise _damaged(self._path(key), sha256, found)
        return data

    def open(self, key: str) -> Iterator[bytes]:
        """A file's content in chunks of about a megabyte."""
        path = self._path(key)
        try:
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)
        except (OSError, BaseError) as error:
            raise storage_error(error, path) from error

    def check(self, key: str, sha256: str) -> None:
        """Read a file through and raise `file-damaged` unless its content has that hash."""
        digest = hashlib.sha256()
        for chunk in self.open(key):
            digest.update(chunk)
        if digest.hexdigest() != sha256:
            raise _damaged(self._path(key), sha256, digest.hexdigest())

    def local_path(self, key: str) -> Path:
        """The file on this machine's disk, for the engine and for file responses; not to be written."""
        path = self._path(key)
        if not self.exists(key):
            raise vanished(path)
        return path

    def exists(self, key: str) -> bool:
        """Whether the key holds a file."""
        path = self._path(key)
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        except (OSError, BaseError) as error:
            raise storage_error(error, path) from error
        return True

    def delete(self, key: str) -> None:
        """Remove a file; one that is gone already is no error."""
        path = self._path(key)
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except (OSError, BaseError) as error:
            raise storage_error(error, path) from error

    def delete_prefix(self, prefix: str) -> None:
        """Remove every file below a folder such as `datasets/<id>`, and the folder."""
        folder = self._path(prefix.rstrip("/"))
        try:
            keys = [item["path"] for batch in obstore.list(self._store, prefix) for item in batch]
            for key in keys:
                obstore.delete(self._store, key)
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir()
            if folder.exists():
                folder.rmdir()
        except (OSError, BaseError) as error:
            raise storage_error(error, folder) from error

    def sweep(self, older_than_s: float = ABANDONED_AFTER_S) -> int:
        """Remove what killed processes left half written, and return how many files that were."""
        swept = 0
        latest = time.time() - older_than_s
        for path in self._root.rglob("*.part"):
            with contextlib.suppress(FileNotFoundError):
                if _PART.search(path.name) and path.stat().st_mtime < latest:
                    path.unlink()
                    swept += 1
        return swept

    def _write(self, path: Path, meter: _Meter) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for chunk in meter:
                _write_all(file, chunk)
            os.fchmod(file.fileno(), 0o600)  # the umask may have taken even these
            os.fsync(file.fileno())

    def _path(self, key: str) -> Path:
        segments = key.split("/")
        fits = len(key) <= _MAX_KEY_CHARS and all(len(segment) <= _MAX_SEGMENT_CHARS for segment in segments)
        if not fits or not all(_SEGMENT.fullmatch(segment) for segment in segments):
            raise ValidationError(
                "bad-file-name",
                f"{key[:80]!a} cannot be the name of a stored file.",
                hint="Names are letters, digits, dots and dashes in folders parted by '/', without '..'.",
            )
        return self._root.joinpath(*segments)

    def _ensure_folder(self, folder: Path) -> None:
        """Make a folder and those above it, down from the root, for this user only."""
        below = folder.relative_to(self._root).parts
        chain = [self._root.joinpath(*below[:depth]) for depth in range(len(below) + 1)]
        try:
            self._root.parent.mkdir(parents=True, exist_ok=True)
            for path in chain:
                with contextlib.suppress(FileExistsError):
                    path.mkdir(mode=0o700)
                    _sync(path.parent)
                facts = path.stat()
                if facts.st_uid == os.geteuid() and facts.st_mode & 0o777 != 0o700:
                    path.chmod(0o700)
        except OSError as error:
            raise storage_error(error, folder) from error


class _Meter:
    """Passes chunks on, hashing and counting them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._digest.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk


@contextlib.contextmanager
def _source(data: bytes | BinaryIO | Path) -> Iterator[Iterator[bytes]]:
    """The content in chunks; what goes wrong while reading a file is told of that file."""
    if isinstance(data, bytes):
        yield iter((data,))
    elif isinstance(data, Path):
        try:
            file = data.open("rb")
        except OSError as error:
            raise storage_error(error, data) from error
        with file:
            yield _chunks(file, data)
    else:
        yield _chunks(data, Path(str(getattr(data, "name", "the upload"))))


def _chunks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    try:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise storage_error(error, path) from error


def _write_all(file: io.FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def _sync(path: Path) -> None:
    """Have the disk keep a file's content, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(path: Path, expected: str, found: str) -> StorageError:
    return StorageError(
        "file-damaged",
        f"The content of '{path}' is not what it should be "
        f"(SHA-256 {found[:12]}… instead of {expected[:12]}…).",
        hint="Restore it from a backup, or make the thing that it belongs to again.",
    )
