"""A server with an engine that draws nothing: every picture is the same one, made beforehand.

Only the provider is replaced. The web process, the worker process, database, queue, storage and links are
those of `fluxsmith serve`; so a task costs all that it costs there but the drawing.

    python benchmarks/null_engine.py serve | worker
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

from fluxsmith.cli.serve import listen, run_server
from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.core.logging import configure_logging
from fluxsmith.errors import UnsupportedError
from fluxsmith.providers.base import (
    BaseModelInfo,
    FinetuneOutcome,
    FinetuneTask,
    GenerationTask,
    LoraFacts,
    Picture,
    Reporter,
    TrainingReporter,
)
from fluxsmith.providers.registry import ProviderRegistry
from fluxsmith.worker.runtime import run_worker
from fluxsmith.worker.supervisor import Supervisor

SIDE = 256
WORKER = (sys.executable, str(Path(__file__).resolve()), "worker")


class NullProvider:
    """Draws the same picture for everybody, at once; takes the place of the local provider."""

    name = "local"
    remote = False

    def __init__(self) -> None:
        data = io.BytesIO()
        Image.new("RGB", (SIDE, SIDE), (90, 140, 200)).save(data, "PNG")
        self._png = data.getvalue()

    def models(self) -> list[BaseModelInfo]:
        """One model, under the name that the settings choose at first."""
        text = frozenset({"text"})
        return [BaseModelInfo("nano", "Null", "null", self.name, "none", SIDE, text, trainable=False)]

    def check_lora(self, model: str, path: Path) -> LoraFacts:
        """Refuse."""
        raise _refusal()

    def warm_up(self, model: str) -> None:
        """There is nothing to load."""

    def finetune(self, task: FinetuneTask, report: TrainingReporter) -> FinetuneOutcome:
        """Refuse."""
        raise _refusal()

    def generate(self, task: GenerationTask, report: Reporter) -> list[Picture]:
        """The picture, as often as it is asked for."""
        return [Picture(self._png, task.seed + number, SIDE, SIDE) for number in range(task.count)]


def _refusal() -> UnsupportedError:
    return UnsupportedError("null-engine", "The null engine draws one picture and does nothing else.")


def _container() -> ServiceContainer:
    settings = Settings.load()
    configure_logging(settings)
    container = ServiceContainer(settings)
    container.override("providers", ProviderRegistry([NullProvider()]))
    return container


def _serve() -> None:
    container = _container()
    with listen(container.settings) as listener:
        run_server(container, Supervisor(container.settings, WORKER), listener)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        run_worker(_container(), supervised=True)
    else:
        _serve()
