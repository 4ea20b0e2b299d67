"""Memory that runs out: a limit for this process, and words for every way in which it shows."""

from __future__ import annotations

import errno
import sys

from fluxsmith.errors import CapacityError

_SIGNS = (
    "defaultcpuallocator",
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "bad_alloc",
    "bad alloc",
    "could not create a memory",
    "failed to allocate",
    "unable to allocate",
)
_TRAINING_HINT = "Lower the batch size, the resolution or the rank, or give training more memory."
_DRAWING_HINT = "Ask for fewer pixels, or close other programs."


def limit_memory(limit_bytes: int) -> None:
    """Limit the data that this process may hold; on systems without such limits nothing happens."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that memory ran out."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, RuntimeError | ImportError | OSError):
        text = str(error).lower()
        if any(sign in text for sign in _SIGNS):
            return True
    cause = error.__cause__ or error.__context__
    return cause is not None and is_out_of_memory(cause)


def out_of_memory(limit_bytes: int | None) -> CapacityError:
    """The error for training that needs more memory than there is."""
    return CapacityError(
        "memory-exhausted",
        f"Training needs more memory than the {_available(limit_bytes)} available.",
        hint=_TRAINING_HINT,
    )


def out_of_memory_drawing() -> CapacityError:
    """The error for a picture that needs more memory than there is."""
    return CapacityError(
        "memory-exhausted",
        f"Drawing needs more memory than the {_available(None)} available.",
        hint=_DRAWING_HINT,
    )


def _available(limit_bytes: int | None) -> str:
    import psutil

    count = limit_bytes if limit_bytes is not None else psutil.virtual_memory().total
    return f"{count / 2**30:.1f} GiB"
