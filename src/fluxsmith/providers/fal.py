"""The provider `fal`: FLUX finetuned at fal.ai by key, and drawn with there.

What is paid for is sent once (`paid_requests`) and followed to its end (`fal_queue`); which models there are,
and what a step costs, is in `fal_catalogue`. LoRAs come home as files, and are drawn with at fal by their
address there. Every failure is a row of `core.api_faults`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fluxsmith.core.api_faults import FAL, failure, fault
from fluxsmith.core.api_service import APIService, Check, KeyHeader
from fluxsmith.core.cloud_tasks import CloudTask, CloudTasks
from fluxsmith.core.storage_errors import storage_error
from fluxsmith.errors import Cancelled, UnsupportedError
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
from fluxsmith.providers.fal_catalogue import OFFERS, drawing_body, offer_named
from fluxsmith.providers.fal_files import FalFiles
from fluxsmith.providers.fal_finetune import FalFinetunes
from fluxsmith.providers.fal_queue import FalTask
from fluxsmith.providers.paid_requests import PaidRequest, PaidRequests
from fluxsmith.providers.remote_drawing import STUCK_S, RemoteDrawing, Sample

FAL_HOUSE = ("fal.run", "fal.ai")
MOST_IN_FLIGHT = 10  # fal lets a new account run two at once and queues the rest


@dataclass(frozen=True)
class FalHosts:
    """The ways to fal: its queue, its store of files, and the history of the account."""

    queue: APIService
    store: APIService
    history: APIService

    def close(self) -> None:
        """Close all connections."""
        for service in (self.queue, self.store, self.history):
            service.close()


def hosts_at(base_url: str | None, key: str, **more: Any) -> FalHosts:
    """The ways to fal, or to one host that stands for all of it."""

    def at(own: str) -> APIService:
        return APIService(
            base_url or own,
            key,
            family=FAL_HOUSE,
            key_header=KeyHeader("authorization", "Key "),
            service=FAL,
            **more,
        )

    return FalHosts(at("https://queue.fal.run"), at("https://rest.fal.ai"), at("https://api.fal.ai"))


class FalProvider:
    """Finetunes and draws at fal."""

    name = "fal"
    remote = True

    def __init__(self, hosts: FalHosts, tasks: CloudTasks) -> None:
        self._hosts = hosts
        self._files = FalFiles(hosts.store)
        self._paid = PaidRequests(hosts.queue, tasks)
        self._finetunes = FalFinetunes(hosts.queue, hosts.history, self._files, self._paid)

    def models(self) -> list[BaseModelInfo]:
        """fal's catalogue; asks nobody."""
        return [offer.info(self.name) for offer in OFFERS]

    def warm_up(self, model: str) -> None:
        """Nothing is loaded here."""

    def check_lora(self, model: str, path: Path) -> LoraFacts:
        """Refuse: what a LoRA must fit lies at fal, where nobody can look at it first.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "lora-uploaded-elsewhere",
            f"A file cannot be checked against '{model}', whose weights are at fal.",
            hint="Import it on the same weights on this machine; `--base` draws with it at fal then.",
            field="base_model",
        )

    def finetune(self, task: FinetuneTask, report: TrainingReporter) -> FinetuneOutcome:
        """Train at fal, and bring the LoRA home.

        Raises:
            Cancelled: `report` asked to stop; fal was asked, too.
            UnsupportedError: the trainer does not take these parameters.
            APIError: any row of the table.
        """
        return self._finetunes.carry_out(offer_named(task.base_model), task, report)

    def generate(self, task: GenerationTask, report: Reporter) -> list[Picture]:
        """Draw; if some of the pictures fail, those that did not are returned.

        Raises:
            Cancelled: `report` asked to stop. What was accepted may be charged all the same.
            UnsupportedError: the model cannot do what was asked.
            APIError: any row of the table.
        """
        offer = offer_named(task.base_model)

        def check() -> None:
            if report.cancelled():
                raise Cancelled()

        drawing_body(offer, task, 0, None)  # what fal does not take is refused before anything is sent
        lora = self._lora(task, check)
        bodies = [drawing_body(offer, task, part, lora) for part in range(task.count)]
        requests = [
            PaidRequest(task.id, part, f"/{offer.draws}", partial(dict, body))
            for part, body in enumerate(bodies)
        ]
        followed: list[FalTask] = []

        def follow(accepted: CloudTask) -> FalTask:
            followed.append(FalTask(self._hosts.queue, self._hosts.history, offer.draws, accepted, STUCK_S))
            return followed[-1]

        drawing = RemoteDrawing(
            self._hosts.queue, self._paid, task, report, follow, self._sample, self._files.guard
        )

        def stop() -> None:
            for message in dict.fromkeys(remote.cancel() for remote in followed):
                report.message(message)

        return drawing.run(requests, stop)

    def close(self) -> None:
        """Close the connections."""
        self._hosts.close()

    def _lora(self, task: GenerationTask, check: Check) -> str | None:
        """The LoRA's address at fal; a LoRA that is only here is sent there first."""
        if task.remote_lora is not None:
            return task.remote_lora.id
        if not task.adapters:
            return None
        path = task.adapters[0].path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise storage_error(error, path) from error
        return self._files.send(f"{task.adapters[0].id}.safetensors", data, "application/octet-stream", check)

    def _sample(self, result: dict[str, Any]) -> Sample:
        """The picture of a result, unless fal has blackened it by its content rules."""
        flags, images = result.get("has_nsfw_concepts"), result.get("images")
        if isinstance(flags, list) and any(flag is True for flag in flags):
            raise failure(fault("task-content-moderated"), self._hosts.queue.host)
        first = images[0] if isinstance(images, list) and images else None
        address = first.get("url") if isinstance(first, dict) else None
        return Sample(address, result.get("seed"))
