"""The loss of every step, told as progress; on a GPU fetched a few times a second, not at each step."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from fluxsmith.engine.events import TrainEvents
from fluxsmith.engine.optimizer import learning_rate
from fluxsmith.engine.spec import TrainSpec
from fluxsmith.errors import EngineError

_FETCH_EVERY_S = 0.25


class LossLog:
    """Gathers losses and tells them in order, with the time left.

    Args:
        spec: of the run.
        events: told one progress event a step.
        lazily: gather losses on the device and fetch several at once.
    """

    def __init__(self, spec: TrainSpec, events: TrainEvents, lazily: bool) -> None:
        self.losses: list[float] = []
        self._spec = spec
        self._events = events
        self._fetch_every_s = _FETCH_EVERY_S if lazily else 0.0
        self._waiting: list[tuple[int, Tensor, float]] = []
        self._fetched_at = self._started_at = time.monotonic()
        self._first_step = 0

    def restore(self, losses: Sequence[float]) -> None:
        """Take over the losses of an earlier attempt, and tell them again: who listened may not have
        written the last of them down before it died.
        """
        self.losses = list(losses)
        for step, loss in enumerate(losses, start=1):
            rate = learning_rate(self._spec, step - 1)
            self._events.progress("Training", step, self._spec.steps, loss=loss, learning_rate=rate)

    def start(self, step: int) -> None:
        """Begin to measure time at a step."""
        self._first_step = step
        self._fetched_at = self._started_at = time.monotonic()

    def add(self, step: int, loss: Tensor, rate: float) -> None:
        """Take the loss of a step, still on its device."""
        self._waiting.append((step, loss, rate))
        if time.monotonic() - self._fetched_at >= self._fetch_every_s:
            self.flush()

    def flush(self) -> None:
        """Fetch and tell what has been gathered.

        Raises:
            EngineError: `training-diverged`: a loss is no finite number.
        """
        self._fetched_at = time.monotonic()
        if not self._waiting:
            return
        values = torch.stack([loss for _, loss, _ in self._waiting]).tolist()
        waiting, self._waiting = self._waiting, []
        for (step, _, rate), loss in zip(waiting, values, strict=True):
            if not math.isfinite(loss):
                raise EngineError(
                    "training-diverged",
                    f"Training lost its way at step {step}: the loss is no number any more.",
                    hint="Lower the learning rate.",
                )
            self.losses.append(loss)
            self._events.progress(
                "Training",
                step,
                self._spec.steps,
                loss=loss,
                learning_rate=rate,
                eta_s=self._left_s(step),
            )

    def summary(self) -> dict[str, object]:
        """Mean loss of the first and the last tenth of the steps, and the speed of this attempt."""
        tenth = max(1, len(self.losses) // 10)
        seconds = max(1e-9, time.monotonic() - self._started_at)
        return {
            "loss_first": sum(self.losses[:tenth]) / tenth,
            "loss_last": sum(self.losses[-tenth:]) / tenth,
            "steps_per_s": round((len(self.losses) - self._first_step) / seconds, 3),
        }

    def _left_s(self, step: int) -> float | None:
        done = step - self._first_step
        each_s = (time.monotonic() - self._started_at) / max(1, done)
        return round(each_s * (self._spec.steps - step), 1) if done > 1 else None
