"""What tests of the engine are arranged with: pictures, specifications, finetunes, and listeners."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from fluxsmith.engine.spec import SpecPicture, TrainSpec
from fluxsmith.providers.base import FinetuneParameters, FinetuneTask, TrainingPicture
from tests.tiny import NATIVE_SIDE, tiny_models

COLOURS = ((200, 30, 30), (30, 160, 60), (40, 60, 210))


def make_pictures(folder: Path) -> list[Path]:
    """Three pictures of different colours and sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, colour in enumerate(COLOURS):
        path = folder / f"{number}.png"
        Image.new("RGB", (80 + 30 * number, 100), colour).save(path)
        paths.append(path)
    return paths


def make_spec(folder: Path, **changes: Any) -> TrainSpec:
    """A run of twelve steps on three pictures with the tiny model; the rate is high so that it shows."""
    pictures = tuple(
        SpecPicture(str(path), f"a picture of tok {n}") for n, path in enumerate(make_pictures(folder))
    )
    values: dict[str, Any] = {
        "model_folder": str(tiny_models() / "tiny"),
        "pictures": pictures,
        "trigger_word": "tok",
        "steps": 12,
        "lora_rank": 4,
        "lora_alpha": 4.0,
        "learning_rate": 1e-2,
        "batch_size": 2,
        "resolution": NATIVE_SIDE,
        "warmup_steps": 2,
        "checkpoint_every": 4,
        "seed": 3,
        "device": "cpu",
    }
    return TrainSpec(**{**values, **changes})


def make_task(folder: Path, **parameters: Any) -> FinetuneTask:
    """The same run as a provider is asked for it."""
    values: dict[str, Any] = {
        "steps": 12,
        "lora_rank": 4,
        "learning_rate": 5e-3,
        "batch_size": 2,
        "sample_every": 6,
        "checkpoint_every": 4,
    }
    return FinetuneTask(
        id="run",
        base_model="tiny",
        pictures=tuple(TrainingPicture(path, "a picture of tok") for path in make_pictures(folder)),
        trigger_word="tok",
        parameters=FinetuneParameters(**{**values, **parameters}),
        run_dir=folder / "run",
        metadata={"dataset_hash": "abc"},
    )


class Listener:
    """Takes a run's events, as a provider's reporter and as the engine's listener.

    Args:
        on_step: called with the step after each training step.
        stop_at: the step after which to ask for an end.
    """

    def __init__(self, on_step: Callable[[int], None] | None = None, stop_at: int | None = None) -> None:
        self.losses: dict[int, list[float]] = {}
        self.stages: list[str] = []
        self.samples: list[tuple[int, str, bytes]] = []
        self.messages: list[str] = []
        self.asked_to_stop = False
        self._on_step = on_step
        self._stop_at = stop_at

    def progress(
        self,
        stage: str,
        step: int,
        total: int,
        *,
        loss: float | None = None,
        learning_rate: float | None = None,
        eta_s: float | None = None,
    ) -> None:
        if not self.stages or self.stages[-1] != stage:
            self.stages.append(stage)
        if loss is None:
            return
        self.losses.setdefault(step, []).append(loss)
        self.asked_to_stop |= step == self._stop_at
        if self._on_step is not None:
            self._on_step(step)

    def sample(self, step: int, prompt: str, path: Path) -> None:
        self.samples.append((step, prompt, path.read_bytes()))

    def message(self, text: str) -> None:
        self.messages.append(text)

    def stopping(self) -> bool:
        return self.asked_to_stop

    def cancelled(self) -> bool:
        return self.asked_to_stop

    @property
    def curve(self) -> list[float]:
        """The loss of each step, as it was told last."""
        return [self.losses[step][-1] for step in sorted(self.losses)]
