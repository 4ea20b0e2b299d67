"""Live samples: what the model draws before, during and after training, always from the same noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fluxsmith.engine.conditions import Conditions
from fluxsmith.engine.events import TrainEvents
from fluxsmith.engine.families.base import FamilyModel
from fluxsmith.engine.files import as_storage_error
from fluxsmith.engine.sizes import native_size
from fluxsmith.engine.spec import TrainSpec
from fluxsmith.errors import Cancelled


class LiveSamples:
    """Draws the sample prompts at the steps that the specification asks for."""

    def __init__(
        self,
        spec: TrainSpec,
        model: FamilyModel,
        embeddings: Mapping[str, Tensor],
        folder: Path,
        events: TrainEvents,
    ) -> None:
        self._spec = spec
        self._model = model
        self._embeddings = embeddings
        self._folder = folder
        self._events = events

    @property
    def wanted(self) -> bool:
        """Whether there will be any."""
        return bool(self._spec.sample_every and self._spec.sample_prompts)

    def due(self, step: int) -> bool:
        """Whether some are wanted after that step: every so many steps, and after the last."""
        return self.wanted and (step % self._spec.sample_every == 0 or step == self._spec.steps)

    def draw(self, step: int) -> None:
        """Draw one picture of each prompt and tell of it; nothing if none are wanted."""
        if not self.wanted:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        transformer = self._model.transformer.eval()
        for number, prompt in enumerate(self._spec.sample_prompts):
            path = self._folder / f"{step:06d}-{number}.png"
            self._draw_one(prompt, path)
            self._events.sample(step, prompt, path)
        transformer.train()

    def _draw_one(self, prompt: str, path: Path) -> None:
        def on_step(_step: int) -> None:
            if self._events.stopping():
                raise Cancelled()

        folder = self._model.folder
        width, height = native_size(1, 1, folder.native_side)
        picture = self._model.draw(
            self._embeddings[prompt][None],
            self._embeddings[""][None],
            width=width,
            height=height,
            steps=folder.default_steps,
            guidance=folder.default_guidance,
            seed=self._spec.seed,
            conditions=Conditions(),
            on_step=on_step,
        )
        try:
            picture.save(path)
        except OSError as error:
            raise as_storage_error(error, path) from error
