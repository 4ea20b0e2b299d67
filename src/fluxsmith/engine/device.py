"""Which device to work on, and how many threads."""

from __future__ import annotations

import ctypes
import os

import torch

from fluxsmith.errors import EngineError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MMAP_BYTES = 32 * 1024 * 1024
"""The most that glibc accepts; larger blocks are always given back."""
_TRIM_BYTES = 512 * 1024 * 1024


def choose_device(wish: str) -> torch.device:
    """The device for a wish: `auto`, `cpu`, `cuda` or `cuda:1`.

    Raises:
        EngineError: `device-missing`: it is not there.
    """
    if wish == "auto":
        wish = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wish)
    except RuntimeError as error:
        raise _no_device(wish) from error
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not torch.cuda.is_available()):
        raise _no_device(wish)
    return device


def use_all_cores() -> None:
    """Let torch use every core that this process may run on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(cores)


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks for the next step instead of giving them back and faulting them in anew.

    A training step frees and asks for the same sizes each time. Elsewhere than on glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def _no_device(wish: str) -> EngineError:
    return EngineError(
        "device-missing",
        f"There is no device '{wish}' that torch can use here.",
        hint="Set FLUXSMITH_DEVICE to auto or cpu.",
    )
