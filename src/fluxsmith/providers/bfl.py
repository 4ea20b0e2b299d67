"""The provider `bfl`: BFL's cloud, or another fluxsmith, over BFL's API.

Draws by submitting one task a picture (`bfl_request`) and polling each; finetunes where the host still takes
that (`bfl_finetune`). What is paid for is sent once (`paid_requests`) and followed to its end (`bfl_task`);
which models there are is in `bfl_catalogue`. Every failure is a row of `core.api_faults`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from fluxsmith.core.api_cache import AnswerCache
from fluxsmith.core.api_faults import LOCAL_PATH
from fluxsmith.core.api_retry import RetryPolicy
from fluxsmith.core.api_service import APIService
from fluxsmith.core.cloud_tasks import CloudTasks
from fluxsmith.errors import NotFoundError, UnsupportedError
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
from fluxsmith.providers.bfl_catalogue import OFFERS, Offer, find_offer
from fluxsmith.providers.bfl_finetune import RemoteFinetunes
from fluxsmith.providers.bfl_request import drawing_request, tell_what_is_left_out
from fluxsmith.providers.bfl_task import RemoteTask
from fluxsmith.providers.paid_requests import PaidRequest, PaidRequests
from fluxsmith.providers.remote_drawing import STUCK_S, RemoteDrawing, Sample

BFL_HOUSE = ("bfl.ai", "bfl.ml")
MOST_IN_FLIGHT = 24  # what BFL allows on most models
CREDITS_LIVE_S = 60.0


class Credits(BaseModel):
    """What is left of an account."""

    model_config = ConfigDict(extra="ignore")

    credits: float = Field(description="One is worth a cent (USD).")


def service_at(
    base_url: str, key: str, *, cache: AnswerCache | None = None, retry: RetryPolicy | None = None
) -> APIService:
    """The way to BFL's cloud, any region of it, or to another fluxsmith."""
    return APIService(base_url, key, family=BFL_HOUSE, cache=cache, retry=retry)


class BflProvider:
    """Draws, and finetunes where that is possible, over BFL's API."""

    name = "bfl"
    remote = True

    def __init__(self, api: APIService, tasks: CloudTasks) -> None:
        self._api = api
        self._paid = PaidRequests(api, tasks)
        self._finetunes = RemoteFinetunes(api, self._paid)
        self._retired = any(api.host == domain or api.host.endswith(f".{domain}") for domain in BFL_HOUSE)

    def models(self) -> list[BaseModelInfo]:
        """BFL's catalogue; asks nobody."""
        hint = LOCAL_PATH if self._retired else "Choose 'bfl/flux-pro', or train here."
        return [offer.info(self.name, trains=not self._retired, training_hint=hint) for offer in OFFERS]

    def check_lora(self, model: str, path: Path) -> LoraFacts:
        """Refuse: a LoRA gets there by BFL's dashboard, or by the other fluxsmith's own import.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "lora-uploaded-elsewhere",
            f"{self._api.host} takes LoRA files only on its own page, so '{model}' cannot get this one.",
            hint="`fluxsmith models publish` leads through it: upload there, then link its id here.",
            field="base_model",
        )

    def warm_up(self, model: str) -> None:
        """Nothing is loaded here."""

    def credits(self) -> float:
        """How many credits are left.

        Raises:
            APIError: the host cannot be reached, refuses the key, or counts none (another fluxsmith).
        """
        return self._api.get_stable(Credits, "/v1/credits", CREDITS_LIVE_S).credits

    def finetunes(self) -> list[str]:
        """The ids of the account's finetunes, where the host can list them.

        Raises:
            APIError: any row of the table.
        """
        return self._finetunes.ids()

    def finetune(self, task: FinetuneTask, report: TrainingReporter) -> FinetuneOutcome:
        """Train at the host; the LoRA stays there.

        Raises:
            Cancelled: `report` asked to stop; the training there is stopped, too.
            UnsupportedError: the host's API does not take these parameters.
            APIError: any row of the table.
        """
        return self._finetunes.carry_out(_offer(task.base_model), task, report)

    def generate(self, task: GenerationTask, report: Reporter) -> list[Picture]:
        """Draw; if some of the pictures fail, those that did not are returned.

        Raises:
            Cancelled: `report` asked to stop. What was accepted may be charged all the same.
            UnsupportedError: the model cannot do what was asked.
            ValidationError: a picture to follow is too large.
            APIError: any row of the table.
        """
        offer = _offer(task.base_model)
        asked = drawing_request(offer, task)
        tell_what_is_left_out(offer, asked, task, report)
        requests = [
            PaidRequest(task.id, part, asked.endpoint.path, partial(asked.body, part), asked.total_s)
            for part in range(task.count)
        ]
        drawing = RemoteDrawing(
            self._api,
            self._paid,
            task,
            report,
            lambda accepted: RemoteTask(self._api, accepted, STUCK_S),
            lambda result: Sample(result.get("sample"), result.get("seed")),
        )
        no_stop = f"{self._api.host} cannot be told to stop; what it accepted may be charged."
        return drawing.run(requests, lambda: report.message(no_stop))

    def close(self) -> None:
        """Close the connections."""
        self._api.close()


def _offer(name: str) -> Offer:
    offer = find_offer(name)
    if offer is None:
        raise NotFoundError("model-not-found", f"BFL offers no model '{name}'.", field="model")
    return offer
