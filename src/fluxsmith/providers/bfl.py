"""The provider `bfl`: BFL's cloud, or another fluxsmith, over BFL's API.

Draws by submitting one task a picture and polling each; finetunes where the host still takes that (`bfl_
finetune`). What is paid for is sent once (`bfl_ledger`) and followed to its end (`bfl_task`); which models
there are is in `bfl_catalogue`. Every failure is a row of `core.api_faults`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fluxsmith.core.api_cache import AnswerCache
from fluxsmith.core.api_faults import LOCAL_PATH, failure, fault
from fluxsmith.core.api_retry import RetryPolicy
from fluxsmith.core.api_service import APIService, Check
from fluxsmith.core.cloud_tasks import CloudTasks
from fluxsmith.core.images import fit_picture
from fluxsmith.errors import APIError, Cancelled, NotFoundError, UnsupportedError, ValidationError
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
from fluxsmith.providers.bfl_catalogue import (
    OFFERS,
    Offer,
    endpoint,
    find_offer,
    request_body,
    tell_what_is_left_out,
)
from fluxsmith.providers.bfl_finetune import RemoteFinetunes
from fluxsmith.providers.bfl_ledger import PaidRequest, PaidRequests
from fluxsmith.providers.bfl_task import RemoteTask

BFL_HOUSE = ("bfl.ai", "bfl.ml")
MOST_IN_FLIGHT = 24  # what BFL allows on most models
STUCK_S = 30 * 60.0  # pictures take seconds; a queue at BFL takes minutes
PICTURE_BYTES = 64_000_000  # 4 megapixels of noise as PNG have 13
PICTURE_S = 300.0
FIRST_POLL_S, LAST_POLL_S, POLL_GROWS = 0.5, 5.0, 1.4
CREDITS_LIVE_S = 60.0

_EXPIRED = frozenset({"api-refused-input", "api-key-refused", "api-forbidden", "api-no-such-endpoint"})


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
            APIError: any row of the table.
        """
        offer = _offer(task.base_model)
        path = endpoint(offer, task)
        bodies = [request_body(offer, task, part) for part in range(task.count)]
        tell_what_is_left_out(offer, task, report)
        requests = [PaidRequest(task.id, part, path, partial(dict, body)) for part, body in enumerate(bodies)]
        drawing = _Drawing(self._api, self._paid, task, report)
        try:
            return drawing.run(requests)
        except Cancelled:
            report.message(f"{self._api.host} cannot be told to stop; what it accepted may be charged.")
            drawing.let_go(range(task.count))
            raise
        except APIError:
            drawing.let_go(range(task.count))
            raise

    def close(self) -> None:
        """Close the connections."""
        self._api.close()


class _Drawing:
    """One generation: its requests on their way, its tasks polled in turns, its pictures as they come."""

    def __init__(self, api: APIService, paid: PaidRequests, task: GenerationTask, report: Reporter) -> None:
        self._api = api
        self._paid = paid
        self._task = task
        self._report = report
        self._active: list[RemoteTask] = []
        self._pictures: dict[int, Picture] = {}
        self._failures: list[APIError] = []
        self._told = -1
        self._began = api.clock.monotonic()

    def run(self, requests: Sequence[PaidRequest]) -> list[Picture]:
        """Bring all requests to an end."""
        waiting = deque(requests)
        interval_s = FIRST_POLL_S
        while waiting or self._active:
            self._send(waiting)
            self._tell()
            if waiting or self._active:
                self._api.wait(interval_s, self._check)
                interval_s = min(interval_s * POLL_GROWS, LAST_POLL_S)
            for remote in list(self._active):
                self._poll(remote)
        for failed in self._failures[:1] if self._pictures else []:
            self._report.message(f"{len(self._pictures)} of {len(requests)} pictures were drawn: {failed}")
        if not self._pictures:
            raise self._failures[0]
        return [self._pictures[part] for part in sorted(self._pictures)]

    def let_go(self, parts: Sequence[int]) -> None:
        """Note that nobody waits for these requests any more."""
        for part in parts:
            self._paid.ended(self._task.id, part)

    @property
    def _check(self) -> Check:
        report = self._report

        def check() -> None:
            if report.cancelled():
                raise Cancelled()

        return check

    def _send(self, waiting: deque[PaidRequest]) -> None:
        """Send what may be sent now; after a failure, only what was sent before is followed."""
        while waiting:
            try:
                accepted = self._paid.send(waiting[0], self._check)
            except APIError as error:
                if self._worth_waiting(error):
                    return
                self._failures.append(error)
                self.let_go([waiting[0].part])
                waiting.clear()
                return
            if accepted is None:
                return
            waiting.popleft()
            self._active.append(RemoteTask(self._api, accepted, STUCK_S))

    def _worth_waiting(self, error: APIError) -> bool:
        """Whether others' tasks use up what the host allows at once; that passes, so long waits are borne."""
        patient = self._api.clock.monotonic() - self._began < STUCK_S
        return error.code == "api-busy" and error.wait_s is None and patient

    def _poll(self, remote: RemoteTask) -> None:
        try:
            result = remote.poll(self._check)
            if result is None:
                return
            self._pictures[remote.part] = self._fetch(remote, result)
        except APIError as error:
            self._failures.append(error)
        self._active.remove(remote)
        self.let_go([remote.part])

    def _fetch(self, remote: RemoteTask, result: dict[str, Any] | None) -> Picture:
        """The picture of a task that is ready; asked for once more if its address has expired."""
        row = fault("task-result-expired")
        for _ in range(2):
            if result is not None:
                sample = result.get("sample")
                if not isinstance(sample, str) or not sample:
                    raise failure(fault("task-without-result"), self._api.host, task=remote.id)
                try:
                    return self._picture(remote, self._download(sample), result.get("seed"))
                except APIError as error:
                    if error.code not in _EXPIRED:
                        raise
                except ValidationError:
                    row = fault("task-result-not-a-picture")
            result = remote.poll(self._check)
        raise failure(row, self._api.host, task=remote.id)

    def _download(self, address: str) -> bytes:
        return self._api.download(address, limit_bytes=PICTURE_BYTES, total_s=PICTURE_S, check=self._check)

    def _picture(self, remote: RemoteTask, data: bytes, seed: object) -> Picture:
        fitted = fit_picture(data, remote.id, self._task.width, self._task.height)
        used = seed if isinstance(seed, int) and seed >= 0 else self._task.seed + remote.part
        return Picture(fitted.png, used, fitted.native_width, fitted.native_height)

    def _tell(self) -> None:
        """Report how far all pictures are, when that has changed."""
        shares = sum(remote.progress for remote in self._active) + len(self._pictures)
        percent = int(100 * shares / self._task.count)
        if percent > self._told:
            self._told = percent
            self._report.progress(f"Drawing at {self._api.host}", percent, 100)


def _offer(name: str) -> Offer:
    offer = find_offer(name)
    if offer is None:
        raise NotFoundError("model-not-found", f"BFL offers no model '{name}'.", field="model")
    return offer
