"""Starts, follows and ends the child process that trains.

The child speaks JSON lines on stdout (see `fluxsmith.engine.__main__`) and dies when its stdin closes,
so that none outlives this process. One that is killed is started again and goes on from its newest
checkpoint; one that is killed again and again without getting further is given up.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from fluxsmith import errors
from fluxsmith.engine.checkpoint_steps import newest_step
from fluxsmith.engine.spec import TrainSpec
from fluxsmith.errors import Cancelled, CapacityError, EngineError, FluxsmithError, StorageError
from fluxsmith.providers.base import FinetuneOutcome, TrainingReporter
from fluxsmith.providers.local_child import Child
from fluxsmith.providers.oom import memory_kills

_log = logging.getLogger(__name__)

_POLL_S = 0.1
_CANCEL_GRACE_S = 30.0
"""A step of a large model on a slow machine; after that the child is killed."""
_FUTILE_KILLS = 3
"""Kills for want of memory without getting further, after which more tries are pointless."""
_UNEXPLAINED_KILLS = 6
"""Kills that were not for want of memory: somebody else's doing, worth more patience."""
_AGAIN_AFTER_S = 0.5
_LOWER = "Lower the batch size, the resolution or the rank, or give the machine more memory."


def run_training(spec: TrainSpec, run_dir: Path, report: TrainingReporter) -> FinetuneOutcome:
    """Train in child processes until one is done.

    Raises:
        Cancelled: `report` asked to stop.
        CapacityError: memory ran out, or the child was killed too often without getting further.
        FluxsmithError: what the child says went wrong.
    """
    _write_spec(spec, run_dir)
    kills, for_memory, reached = 0, 0, newest_step(run_dir / "checkpoints")
    while True:
        kills_before = memory_kills()
        with Child(run_dir) as child:
            outcome = _follow(child, report)
        if outcome is not None:
            return outcome
        now = newest_step(run_dir / "checkpoints")
        if now > reached:
            kills, for_memory, reached = 0, 0, now
        kills += 1
        for_memory += child.ran_out_of_memory() or memory_kills() > kills_before
        _log.warning(
            "The training process was killed: %s. Its last words:\n%s", child.status, child.last_words
        )
        if for_memory >= _FUTILE_KILLS or kills >= _UNEXPLAINED_KILLS:
            raise _given_up(kills, bool(for_memory))
        report.message("The training process was killed; it is started again from its last checkpoint.")
        time.sleep(_AGAIN_AFTER_S)


def _follow(child: Child, report: TrainingReporter) -> FinetuneOutcome | None:
    """Relay a child's events until it ends; None if it was killed."""
    asked_at: float | None = None
    while True:
        event = child.next_event(_POLL_S)
        if event is not None:
            outcome = _relay(event, report)
            if outcome is not None:
                return outcome
        elif child.ended():
            _check_killed(child, asked_at is not None)
            return None
        if asked_at is None and report.cancelled():
            asked_at = time.monotonic()
            child.cancel()
        elif asked_at is not None and time.monotonic() - asked_at > _CANCEL_GRACE_S:
            raise Cancelled()


def _relay(event: dict[str, object], report: TrainingReporter) -> FinetuneOutcome | None:
    match event:
        case {"kind": "progress", "stage": str(stage), "step": int(step), "total": int(total)}:
            report.progress(
                stage,
                step,
                total,
                loss=_number(event, "loss"),
                learning_rate=_number(event, "learning_rate"),
                eta_s=_number(event, "eta_s"),
            )
        case {"kind": "sample", "step": int(step), "prompt": str(prompt), "path": str(path)}:
            report.sample(step, prompt, Path(path))
        case {"kind": "message", "text": str(text)}:
            report.message(text)
        case {"kind": "done", "lora_path": str(path), "facts": dict(facts)}:
            return FinetuneOutcome(Path(path), facts)
        case {"kind": "failed"}:
            raise _failure(event)
        case _:
            _log.warning("The training process sent an event that is not known: %r", event)
    return None


def _check_killed(child: Child, asked: bool) -> None:
    """Return if a child that ended without a result was killed; raise if it was cancelled or is broken."""
    if child.cancelled or asked:
        raise Cancelled()
    if child.killed or child.ran_out_of_memory():  # the C library may exit by itself, without a signal
        return
    _log.error("The training process ended: %s. Its last words:\n%s", child.status, child.last_words)
    raise EngineError(
        "training-failed",
        f"The training process ended unexpectedly ({child.status}).",
        hint="The server's log has the details.",
    )


def _failure(event: dict[str, object]) -> FluxsmithError:
    kind = getattr(errors, str(event.get("error")), EngineError)
    if not issubclass(kind, FluxsmithError) or kind in (Cancelled, errors.LeaseLost):
        kind = EngineError
    error: FluxsmithError = kind(
        str(event.get("code")), str(event.get("message")), hint=str(event.get("hint") or "")
    )
    return error


def _given_up(kills: int, for_memory: bool) -> CapacityError:
    if for_memory:
        return CapacityError(
            "memory-exhausted",
            "Training needs more memory than there is: the system ended it again and again.",
            hint=_LOWER,
        )
    return CapacityError(
        "training-killed",
        f"The training process was killed {kills} times without getting further; most often memory ran out.",
        hint=_LOWER,
    )


def _number(event: dict[str, object], name: str) -> float | None:
    value = event.get(name)
    return float(value) if isinstance(value, int | float) else None


def _write_spec(spec: TrainSpec, run_dir: Path) -> None:
    part, path = run_dir / ".spec.json.part", run_dir / "spec.json"
    try:
        run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.write_text(spec.to_json(), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise StorageError(
            "run-folder-refused",
            f"The folder of the training run cannot be written: {run_dir} ({error.strerror}).",
            hint="Make room on the disk, or make the data folder writable.",
        ) from error
