"""Writes files so that they are there whole or not at all, whatever kills the process or fills the disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from fluxsmith.errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file beside `path`, make it durable, and rename it into place.

    Raises:
        StorageError: `disk-full`.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(whole, part, metadata=metadata)
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise as_storage_error(error, path) from error


def write_json(path: Path, values: Any) -> None:
    """Write JSON beside `path`, make it durable, and rename it into place.

    Raises:
        StorageError: `disk-full`.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(values, indent=2), encoding="utf-8")
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise as_storage_error(error, path) from error


def rename_folder(source: Path, target: Path) -> None:
    """Move a finished folder into place, durably."""
    _sync(source)
    source.replace(target)
    _sync(target.parent)


def as_storage_error(error: Exception, path: Path) -> Exception:
    """Words for a full disk; any other error as it is."""
    if not is_disk_full(error):
        return error
    free = shutil.disk_usage(path.parent if path.parent.exists() else path.anchor).free
    return StorageError(
        "disk-full",
        f"The disk filled up while {path.name} was written ({free / 1e6:.0f} MB free).",
        hint="Delete old results or move FLUXSMITH_DATA_DIR to a larger disk, then start again.",
    )


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that there is no space left."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return isinstance(error, SafetensorError) and any(f"os error {number}" in str(error) for number in _FULL)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
