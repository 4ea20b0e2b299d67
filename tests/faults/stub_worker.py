"""A real worker process whose jobs are small: they count, checkpoint and notice if they run twice at once.

Run by `test_workers.py` as `python stub_worker.py DATA_DIR [--supervised]`. Everything is the product's
but the two handlers and the patience, which is shortened so that a test need not wait for it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.core import workers
from fluxsmith.core.jobs import JobContext
from fluxsmith.errors import Cancelled, ValidationError
from fluxsmith.worker import folder_locks, runtime

STEPS = 60
STEP_S = 0.02
CHECKPOINT_EVERY = 7


def loss(step: int) -> float:
    """What step `step` came to, the same in every attempt."""
    return 1.0 / step


class Counting:
    """A training that counts; its checkpoint is one number in a file."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs

    def carry_out(self, ctx: JobContext) -> None:
        """Count to STEPS from the last checkpoint."""
        run = self._runs / ctx.job_id
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            (run / "met another attempt").touch()
            lock.acquire()
        try:
            self._count(ctx, run / "checkpoint")
        finally:
            lock.release()

    def _count(self, ctx: JobContext, checkpoint: Path) -> None:
        first = int(checkpoint.read_text()) + 1 if checkpoint.exists() else 1
        for step in range(1, first):  # as the engine does: who listened may not have written them down
            ctx.progress("training", step, STEPS, loss=loss(step))
        for step in range(first, STEPS + 1):
            if ctx.cancelled():
                raise Cancelled
            time.sleep(STEP_S)
            ctx.progress("training", step, STEPS, loss=loss(step))
            if step % CHECKPOINT_EVERY == 0:
                part = checkpoint.with_suffix(".part")
                part.write_text(str(step))
                part.replace(checkpoint)
        with ctx.finishing():
            ctx.event("result", {"counted": STEPS})


class Quick:
    """A generation that is done at once, or fails as its job's id says."""

    def carry_out(self, ctx: JobContext) -> None:
        """Draw nothing."""
        if ctx.job_id.startswith("refuse"):
            raise ValidationError("too-much", "That is too much.", hint="Ask for less.")
        if ctx.job_id.startswith("crash"):
            raise RuntimeError("a secret detail")
        with ctx.finishing():
            ctx.event("result", {})


class NothingToLoad:
    """The only provider of a registry, warm at once."""

    def find_model(self, name: str) -> None:
        """Know no model."""

    def get(self, name: str) -> NothingToLoad:
        """Be every provider."""
        return self

    def warm_up(self, model: str) -> None:
        """Do nothing."""


def main() -> None:
    """Run the worker."""
    data_dir = Path(sys.argv[1])
    workers.HEARTBEAT_S = 0.2
    workers.STALE_AFTER_S = 1.0
    workers.RETURNS_WITHIN_S = 0.5
    folder_locks.PREDECESSOR_LEAVES_WITHIN_S = 0.3
    container = ServiceContainer(Settings(data_dir=data_dir))
    container.override("finetuning", Counting(data_dir / "runs"))
    container.override("inference", Quick())
    container.override("providers", NothingToLoad())
    runtime.run_worker(container, supervised="--supervised" in sys.argv)


if __name__ == "__main__":
    main()
