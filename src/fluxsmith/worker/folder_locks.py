"""Who may use a data folder: one server, and one worker for each slot.

Locks are the kernel's, so they are free again the moment their process is gone, however it went.
"""

from __future__ import annotations

import time
from pathlib import Path

from filelock import FileLock, Timeout

from fluxsmith.core.workers import HOST
from fluxsmith.errors import CapacityError, ConflictError, StorageError

SLOTS = 64
PREDECESSOR_LEAVES_WITHIN_S = 3.0  # the worker of a killed server ends itself; its successor takes its slot
_POLL_S = 0.05


def lock_for_server(data_dir: Path) -> FileLock:
    """Take a data folder for this server; hold on to what is returned.

    Raises:
        ConflictError: another server uses it.
        StorageError: it cannot be written.
    """
    lock = _lock(data_dir / "serve.lock")
    if not _taken(lock):
        raise ConflictError(
            "data-folder-in-use",
            f"Another fluxsmith server is using the data folder {data_dir}.",
            hint="Stop it first, or give this one its own folder with FLUXSMITH_DATA_DIR.",
        )
    return lock


def lock_slot(data_dir: Path) -> tuple[str, FileLock]:
    """Take the first free slot for a worker on this machine, and return the worker's id and its lock.

    Ids stay the same from one start to the next, so that a worker finds what it was doing.
    """
    deadline = time.monotonic() + PREDECESSOR_LEAVES_WITHIN_S
    first = _lock(data_dir / "workers" / "0.lock")
    while time.monotonic() < deadline:
        if _taken(first):
            return _worker_id(0), first
        time.sleep(_POLL_S)
    for slot in range(SLOTS):
        lock = _lock(data_dir / "workers" / f"{slot}.lock")
        if _taken(lock):
            return _worker_id(slot), lock
    raise CapacityError("too-many-workers", f"{SLOTS} workers already use the data folder {data_dir}.")


def _worker_id(slot: int) -> str:
    return f"{HOST[:50]}/worker-{slot}"


def _lock(path: Path) -> FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _not_writable(path, error) from error
    return FileLock(path, timeout=0, mode=0o600)


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire()
    except Timeout:
        return False
    except OSError as error:
        raise _not_writable(Path(lock.lock_file), error) from error
    return True


def _not_writable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        "data-folder-not-writable",
        f"{path} cannot be written: {error.strerror}.",
        hint="Give your user write access to the folder, or set FLUXSMITH_DATA_DIR to another one.",
    )
