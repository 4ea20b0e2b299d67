"""Finetunes over BFL's API of 2025: another fluxsmith takes them, BFL's cloud no longer does.

The pictures go out as a zip, the training is polled, and the LoRA stays at the host, to be drawn with by
its id: the API has no way to fetch it. Finetunes can be listed, so one whose answer was lost is looked for
by its comment before it is sent again.
"""

from __future__ import annotations

import base64
import contextlib
from typing import Any

from pydantic import BaseModel, ConfigDict

from fluxsmith.contract.inputs import FinetuneInputs
from fluxsmith.core.api_faults import failure, fault
from fluxsmith.core.api_service import APIService, Check
from fluxsmith.core.cloud_tasks import CloudTask
from fluxsmith.core.validation import ValidationService
from fluxsmith.errors import APIError, Cancelled, UnsupportedError, ValidationError
from fluxsmith.providers.base import FinetuneOutcome, FinetuneTask, TrainingReporter
from fluxsmith.providers.bfl_catalogue import Offer
from fluxsmith.providers.bfl_task import RemoteTask
from fluxsmith.providers.packing import packed
from fluxsmith.providers.paid_requests import MAYBE_CHARGED, PaidRequest, PaidRequests

MOST_PICTURES = 20  # what the API takes in one zip
UPLOAD_S = 600.0
STUCK_S = 24 * 3600.0  # it may wait behind others' trainings
LATE_S = 120.0  # a request that has not shown up in the list after so long never arrived
FIRST_POLL_S, LAST_POLL_S, POLL_GROWS = 1.0, 15.0, 1.3
LISTS_LIVE_S = 300.0
LOOKED_THROUGH = 50  # finetunes whose details are read in search of one
_LIST, _DETAILS = "/v1/my_finetunes", "/v1/finetune_details"

_OUR_NAMES = {"iterations": "steps", "finetune_comment": "name", "file_data": "pictures"}


class Finetunes(BaseModel):
    """The ids of an account's finetunes."""

    finetunes: list[str]


class Details(BaseModel):
    """What the host tells of one finetune."""

    finetune_details: dict[str, Any]


class _Deleted(BaseModel):
    model_config = ConfigDict(extra="ignore")


class RemoteFinetunes:
    """Starts, follows and stops finetunes at the host."""

    def __init__(self, api: APIService, paid: PaidRequests) -> None:
        self._api = api
        self._paid = paid

    def carry_out(self, offer: Offer, task: FinetuneTask, report: TrainingReporter) -> FinetuneOutcome:
        """Train at the host; raises as the provider says."""
        if not offer.trainable:
            raise UnsupportedError("not-trainable", f"'{offer.name}' is not trained over BFL's API.")
        inputs = _inputs(task)
        request = PaidRequest(
            task.id, 0, "/v1/finetune", lambda: _with_pictures(inputs, task), total_s=UPLOAD_S
        )

        def check() -> None:
            if report.cancelled():
                raise Cancelled()

        report.progress(f"Sending pictures to {self._api.host}", 0, task.parameters.steps)
        accepted = self._accepted(request, inputs.finetune_comment, report, check)
        try:
            outcome = self._follow(accepted, task, report, check)
        except Cancelled:
            self._stop(accepted, report)
            self._paid.ended(task.id, 0)
            raise
        except APIError:
            self._paid.ended(task.id, 0)
            raise
        self._paid.ended(task.id, 0)
        return outcome

    def ids(self) -> list[str]:
        """The finetunes of the account, from the cache while it is fresh."""
        return self._api.get_stable(Finetunes, _LIST, LISTS_LIVE_S).finetunes

    def _accepted(
        self, request: PaidRequest, comment: str, report: TrainingReporter, check: Check
    ) -> CloudTask:
        """Send the request, once; if its answer is lost, find out what became of it."""
        while True:
            try:
                task = self._paid.send(request, check)
            except APIError as error:
                if error.code == "api-no-such-endpoint":
                    raise failure(fault("finetuning-retired"), self._api.host) from error
                if error.code != MAYBE_CHARGED:
                    raise
                task = self._reconciled(request, comment, error, report, check)
            if task is not None:
                self._api.forget(_LIST)
                return task
            self._api.wait(FIRST_POLL_S, check)

    def _reconciled(
        self, request: PaidRequest, comment: str, lost: APIError, report: TrainingReporter, check: Check
    ) -> CloudTask | None:
        """The task of a request whose answer was lost; None if it certainly never arrived."""
        report.message(f"{lost.message} Looking for it in the list of {self._api.host}.")
        late_at = self._api.clock.monotonic() + LATE_S
        while True:
            try:
                found = self._find(comment, check)
            except APIError as error:
                raise lost from error
            if found is not None:
                report.message(f"It had arrived, as {found}.")
                return self._paid.known_as(request, found)
            if self._api.clock.monotonic() > late_at:
                report.message("It had never arrived; it is sent again.")
                self._paid.never_arrived(request)
                return None
            self._api.wait(LAST_POLL_S, check)

    def _find(self, comment: str, check: Check) -> str | None:
        """The id of the finetune with this comment; asked for anew, never from the cache."""
        for finetune_id in self._api.get(Finetunes, _LIST, check=check).finetunes[:LOOKED_THROUGH]:
            details = self._details(finetune_id, check)
            if details.get("finetune_comment") == comment:
                return finetune_id
        return None

    def _details(self, finetune_id: str, check: Check) -> dict[str, Any]:
        where = f"{_DETAILS}?finetune_id={finetune_id}"
        return self._api.get(Details, where, check=check).finetune_details

    def _follow(
        self, accepted: CloudTask, task: FinetuneTask, report: TrainingReporter, check: Check
    ) -> FinetuneOutcome:
        remote, interval_s = RemoteTask(self._api, accepted, STUCK_S), FIRST_POLL_S
        told: tuple[str, int] | None = None
        while (result := remote.poll(check)) is None:
            stage, step = self._stage(remote, task)
            if (stage, step) != told:
                told = (stage, step)
                report.progress(stage, step, task.parameters.steps, eta_s=_eta(remote.details))
            self._api.wait(interval_s, check)
            interval_s = min(interval_s * POLL_GROWS, LAST_POLL_S)
        report.progress(f"Trained at {self._api.host}", task.parameters.steps, task.parameters.steps)
        named = result.get("finetune_id")
        finetune_id = named if isinstance(named, str) and named else remote.id
        facts: dict[str, object] = {"host": self._api.host, "remote_id": finetune_id}
        with contextlib.suppress(APIError):  # the training is done, whether or not this can be told
            facts["details"] = self._details(finetune_id, check)
        return FinetuneOutcome(None, facts, remote_id=finetune_id)

    def _stage(self, remote: RemoteTask, task: FinetuneTask) -> tuple[str, int]:
        stage = remote.details.get("stage")
        where = f" at {self._api.host}"
        words = f"{stage}{where}" if isinstance(stage, str) and stage else f"Training{where}"
        return words, int(remote.progress * task.parameters.steps)

    def _stop(self, accepted: CloudTask, report: TrainingReporter) -> None:
        """Delete a finetune there, which also stops it; if that fails, it trains to its end."""
        try:
            self._api.post(_Deleted, "/v1/delete_finetune", {"finetune_id": accepted.task_id})
        except APIError as error:
            report.message(f"The training could not be stopped there: {error}")
        self._api.forget(_LIST)


def _inputs(task: FinetuneTask) -> FinetuneInputs:
    """The request without its pictures, whose captions are already written.

    Raises:
        UnsupportedError: the API does not take such parameters.
    """
    if len(task.pictures) > MOST_PICTURES:
        raise UnsupportedError(
            "too-many-pictures",
            f"BFL's API takes at most {MOST_PICTURES} pictures, not {len(task.pictures)}.",
            hint="Choose the best ones, or train here.",
            field="pictures",
        )
    wanted = task.parameters
    name = task.metadata.get("name", task.trigger_word)[:150]
    fields = {
        "file_data": "",
        "finetune_comment": f"{name} [{task.id[:13]}]",  # so that it can be found again in a list
        "trigger_word": task.trigger_word,
        "mode": task.mode,
        "iterations": wanted.steps,
        "learning_rate": wanted.learning_rate,
        "captioning": False,
        "priority": wanted.priority,
        "finetune_type": wanted.finetune_type,
        "lora_rank": wanted.lora_rank,
    }
    try:
        return ValidationService().parse(FinetuneInputs, fields)
    except ValidationError as error:
        raise UnsupportedError(
            "parameters-unsupported",
            f"BFL's API does not take these parameters: {error.message}",
            hint="Change them, or train here.",
            field=_OUR_NAMES.get(error.field or "", error.field),
        ) from error


def _with_pictures(inputs: FinetuneInputs, task: FinetuneTask) -> dict[str, Any]:
    data = base64.b64encode(packed(task.pictures)).decode()
    return {**inputs.model_dump(mode="json", exclude_none=True), "file_data": data}


def _eta(details: dict[str, Any]) -> float | None:
    value = details.get("eta_s")
    return float(value) if isinstance(value, int | float) else None
