"""What the operating system says about files, in words that a person can act on.

obstore passes the system's error on as text ("... (os error 28)"), Python as `errno`; both end here,
so a full disk reads the same wherever it is met. Nothing here touches a file's content.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from fluxsmith.errors import StorageError

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_FULL_HINT = "Free some space, delete old results, or move FLUXSMITH_DATA_DIR to a larger disk."


def storage_error(error: Exception, path: Path, *, written_bytes: int | None = None) -> StorageError:
    """The `StorageError` for a failed file operation.

    Args:
        error: an `OSError`, or what obstore raised.
        path: the file or folder that was wanted.
        written_bytes: how far a write had come, if it was one.
    """
    number = _errno(error)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return _disk_full(path, written_bytes, quota=number == errno.EDQUOT)
    if number == errno.EROFS:
        return StorageError(
            "read-only",
            f"'{path}' is on a file system that is mounted read-only.",
            hint="Mount it writable, or set FLUXSMITH_DATA_DIR to a folder that can be written.",
        )
    if number in (errno.EACCES, errno.EPERM):
        return _not_permitted(path)
    if number == errno.ENOENT:
        return vanished(path)
    if number in (errno.EMFILE, errno.ENFILE):
        return StorageError(
            "too-many-files",
            f"'{path}' could not be opened: too many files are open.",
            hint="Raise the limit of open files (ulimit -n) and start again.",
        )
    reason = os.strerror(number) if number else str(error).splitlines()[0]
    return StorageError(
        "io-error",
        f"'{path}' could not be read or written: {reason}.",
        hint="Check the disk and its cables or its network mount, then try again.",
    )


def vanished(path: Path) -> StorageError:
    """The error for a file that should be there and is not."""
    return StorageError(
        "file-vanished",
        f"The file '{path}' is missing; something other than fluxsmith has removed it.",
        hint="Restore it from a backup, or make the thing that it belongs to again.",
    )


def _errno(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _OS_ERROR.search(str(error))
    if found:
        return int(found.group(1))
    return errno.ENOENT if isinstance(error, FileNotFoundError) else None


def _disk_full(path: Path, written_bytes: int | None, *, quota: bool) -> StorageError:
    usage = shutil.disk_usage(_existing(path))
    room = "The disk quota is used up" if quota else "No space left"
    wanted = "" if written_bytes is None else f" It happened after {megabytes(written_bytes)} of the file."
    message = (
        f"{room} for '{path}' ({megabytes(usage.free)} of {megabytes(usage.total)} free; nothing was kept)."
    )
    return StorageError("disk-full", message + wanted, hint=_FULL_HINT)


def _not_permitted(path: Path) -> StorageError:
    at = _existing(path)
    try:
        owner, mode = at.stat().st_uid, f"{at.stat().st_mode & 0o777:o}"
    except OSError:
        owner, mode = -1, "?"
    return StorageError(
        "not-permitted",
        f"'{path}' may not be used: '{at}' belongs to user {owner} (mode {mode}), "
        f"and fluxsmith runs as user {os.geteuid()}.",
        hint=f"Give it to this user (chown -R {os.geteuid()} '{at}'), or set FLUXSMITH_DATA_DIR elsewhere.",
    )


def _existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that can be seen."""
    for candidate in (path, *path.parents):
        try:
            candidate.stat()
        except OSError:
            continue
        return candidate
    return Path(path.anchor or ".")


def megabytes(size_bytes: int) -> str:
    """A size for people: '512 bytes', '300 kB', '12.5 MB'."""
    if size_bytes < 1_000:
        return f"{size_bytes} bytes"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1_000:.0f} kB"
    return f"{size_bytes / 1_000_000:,.1f} MB"
