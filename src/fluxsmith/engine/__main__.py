"""The child process that trains: `python -m fluxsmith.engine RUN_DIR`.

Reads RUN_DIR/spec.json; writes JSON lines on stdout and logs on stderr. On stdin, a line `cancel` stops
the run within a step, and the end of the stream means that the parent has died: the process ends at
once. A lock on RUN_DIR makes a second process wait for the first. Exit status: 0 done, 3 cancelled,
4 failed (after an event that says why), 5 the parent has died.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TextIO

from filelock import FileLock, Timeout

from fluxsmith.engine.events import LineEvents
from fluxsmith.engine.memory import is_out_of_memory, limit_memory, out_of_memory
from fluxsmith.engine.spec import TrainSpec
from fluxsmith.engine.threads import wait_asleep
from fluxsmith.errors import Cancelled, EngineError, FluxsmithError

DONE, CANCELLED, FAILED, ORPHANED = 0, 3, 4, 5
_LOCK_POLL_S = 0.2


def main(run_dir: Path) -> int:
    """Carry out the run in that folder and return the exit status."""
    events = LineEvents(_private_stdout())
    threading.Thread(target=_listen, args=(events,), daemon=True).start()
    limit_bytes: int | None = None
    try:
        spec = TrainSpec.read(run_dir / "spec.json")
        limit_bytes = spec.memory_limit_bytes
        with _locked(run_dir, events):
            return _train(spec, run_dir, events)
    except Cancelled:
        return CANCELLED
    except FluxsmithError as error:
        return _fail(events, error)
    except Exception as error:  # noqa: BLE001 - the edge of the process
        if is_out_of_memory(error):
            error.__traceback__ = None
            return _fail(events, out_of_memory(limit_bytes))
        _log_traceback()
        return _fail(
            events,
            EngineError("training-failed", f"Training failed unexpectedly ({type(error).__name__})."),
        )


def _train(spec: TrainSpec, run_dir: Path, events: LineEvents) -> int:
    if spec.memory_limit_bytes is not None:
        limit_memory(spec.memory_limit_bytes)
    events.progress("Starting", 0, 1)
    wait_asleep()
    from fluxsmith.engine.device import keep_freed_memory, use_all_cores

    keep_freed_memory()
    use_all_cores()
    from fluxsmith.engine.losses import LossLog
    from fluxsmith.engine.outcome import earlier_result
    from fluxsmith.engine.trainer import train

    result = earlier_result(spec, run_dir)
    if result is None:
        result = train(spec, run_dir, events)
    else:
        LossLog(spec, events, lazily=False).restore(result.losses)
    events.write("done", lora_path=str(result.lora_path), facts=result.facts)
    return DONE


def _fail(events: LineEvents, error: FluxsmithError) -> int:
    kind = type(error).__name__
    events.write("failed", error=kind, code=error.code, message=error.message, hint=error.hint)
    return FAILED


def _locked(run_dir: Path, events: LineEvents) -> FileLock:
    lock = FileLock(run_dir / "lock")
    while True:
        try:
            lock.acquire(timeout=_LOCK_POLL_S)
            return lock
        except Timeout:
            if events.stopping():
                raise Cancelled() from None


def _listen(events: LineEvents) -> None:
    for line in sys.stdin:
        if line.strip() == "cancel":
            events.stop()
    os._exit(ORPHANED)


def _private_stdout() -> TextIO:
    """The stream of events; whatever a library prints goes to the log instead of between them."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def _log_traceback() -> None:
    import traceback

    traceback.print_exc(file=sys.stderr)


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(status)
