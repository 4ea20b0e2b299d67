"""Writes results where the person at the shell wants them, with errors in words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fluxsmith.errors import StorageError


def copy_file(source: Path, target: Path, name: str) -> Path:
    """Copy a file to `target`, or into it under `name` if it is a folder; returns where it is now.

    Raises:
        StorageError: it cannot be written.
    """
    if target.is_dir():
        target = target / name
    with in_words(target):
        shutil.copyfile(source, target)
    return target


@contextmanager
def in_words(target: Path) -> Iterator[None]:
    """Turn an error of the file system about `target` into words."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            "file-not-writable",
            f"{target} cannot be written: {error.strerror or error}.",
            hint="Choose a folder that exists, that you may write to and that has room.",
        ) from error
