"""Finetunes at fal: pictures up, one paid request, its queue and its log followed, the LoRA home.

The pictures are in fal's store before the request is written down and sent, under an address of their own: by
it a request whose answer was lost is found in the account's history. The history may show a request only when
it has ended, so one that is not found is waited for long, and never sent again.
"""

from __future__ import annotations

import re
from typing import Any

from fluxsmith.core.api_faults import failure, fault
from fluxsmith.core.api_service import APIService, Check
from fluxsmith.core.cloud_tasks import CloudTask
from fluxsmith.errors import APIError, Cancelled
from fluxsmith.providers.base import FinetuneOutcome, FinetuneTask, TrainingReporter
from fluxsmith.providers.fal_catalogue import FalOffer, left_out, training_body
from fluxsmith.providers.fal_files import FalFiles
from fluxsmith.providers.fal_queue import FalTask, find_request
from fluxsmith.providers.packing import packed
from fluxsmith.providers.paid_requests import MAYBE_CHARGED, PaidRequest, PaidRequests

STUCK_S = 24 * 3600.0  # it may wait behind others' trainings
LOOKED_FOR_S = 3 * 3600.0  # a training takes minutes to an hour or two, and is listed when it has ended
FIRST_POLL_S, LAST_POLL_S, POLL_GROWS = 1.0, 15.0, 1.3
LONGEST_ADDRESS = 200  # what the models' table keeps
_STEP = re.compile(r"(?<![\d.])(\d{1,6})\s*/\s*(\d{1,6})(?![\d.])")
_LOSS = re.compile(r"\bloss\b\s*[=:]\s*([0-9.]+(?:e[+-]?\d+)?)", re.IGNORECASE)


class FalFinetunes:
    """Starts, follows and stops finetunes at fal."""

    def __init__(self, queue: APIService, history: APIService, files: FalFiles, paid: PaidRequests) -> None:
        self._queue = queue
        self._history = history
        self._files = files
        self._paid = paid

    def carry_out(self, offer: FalOffer, task: FinetuneTask, report: TrainingReporter) -> FinetuneOutcome:
        """Train at fal; raises as the provider says."""
        training_body(offer, task, "")  # what fal does not take is refused before anything is sent

        def check() -> None:
            if report.cancelled():
                raise Cancelled()

        remote: FalTask | None = None
        try:
            accepted = self._accepted(offer, task, report, check)
            remote = FalTask(self._queue, self._history, offer.trainer, accepted, STUCK_S)
            report.message(f"{self._queue.host} accepted the training as {remote.id}.")
            result = self._follow(remote, task, report, check)
            outcome = self._brought_home(offer, task, remote, result, report, check)
        except Cancelled:
            if remote is not None:
                report.message(remote.cancel())
            self._paid.ended(task.id, 0)
            raise
        except APIError:
            self._paid.ended(task.id, 0)
            raise
        self._paid.ended(task.id, 0)
        return outcome

    def _accepted(
        self, offer: FalOffer, task: FinetuneTask, report: TrainingReporter, check: Check
    ) -> CloudTask:
        """Send the request, once; if its answer is lost, look for what became of it."""
        pictures = self._pictures(task, report, check)
        body = training_body(offer, task, pictures)
        request = PaidRequest(task.id, 0, f"/{offer.trainer}", lambda: body)
        for name in left_out(offer, task.parameters):
            report.message(f"{offer.title} is trained at fal without {name}; it was left out.")
        while True:
            try:
                accepted = self._paid.send(request, check)
            except APIError as error:
                if error.code != MAYBE_CHARGED:
                    raise
                accepted = self._looked_for(offer, request, pictures, error, report, check)
            if accepted is not None:
                return accepted
            self._queue.wait(FIRST_POLL_S, check)

    def _pictures(self, task: FinetuneTask, report: TrainingReporter, check: Check) -> str:
        """The address of the pictures in fal's store; of an earlier attempt, if it had come so far."""
        noted = task.run_dir / "fal-pictures-url"
        if noted.is_file() and (address := noted.read_text(encoding="utf-8").strip()):
            return address
        report.progress(f"Sending pictures to {self._queue.host}", 0, task.parameters.steps)
        address = self._files.send(f"{task.id}.zip", packed(task.pictures), "application/zip", check)
        whole = noted.with_suffix(".part")
        whole.write_text(address, encoding="utf-8")
        whole.replace(noted)
        return address

    def _looked_for(
        self,
        offer: FalOffer,
        request: PaidRequest,
        pictures: str,
        lost: APIError,
        report: TrainingReporter,
        check: Check,
    ) -> CloudTask:
        report.message(f"{lost.message} Looking for it in the account's history.")
        since, interval_s = self._paid.intended_at(request), FIRST_POLL_S
        late_at = self._queue.clock.monotonic() + LOOKED_FOR_S
        while self._queue.clock.monotonic() < late_at:
            try:
                found = find_request(self._history, offer.trainer, pictures, since, check)
            except APIError as error:
                raise lost from error
            if found is not None:
                report.message(f"It had arrived, as {found}.")
                return self._paid.known_as(request, found)
            self._queue.wait(interval_s, check)
            interval_s = min(interval_s * POLL_GROWS, 4 * LAST_POLL_S)
        raise lost

    def _follow(
        self, remote: FalTask, task: FinetuneTask, report: TrainingReporter, check: Check
    ) -> dict[str, Any]:
        """Poll to the end; pass on the place in the queue, the log and the step that it tells."""
        total, interval_s = task.parameters.steps, FIRST_POLL_S
        told: tuple[str, int] | None = None
        step = 0
        while True:
            try:
                result = remote.poll(check)
            finally:  # the log tells most when the training has failed
                news = remote.news()
                for line in news:
                    report.message(line[:500])
            step = max([step, *(_step(line, total) for line in news)])
            if result is not None:
                return result
            stage = self._stage(remote)
            if (stage, step) != told:
                told = (stage, step)
                report.progress(stage, step, total, loss=_loss(news))
            self._queue.wait(interval_s, check)
            interval_s = min(interval_s * POLL_GROWS, LAST_POLL_S)

    def _stage(self, remote: FalTask) -> str:
        if remote.running:
            return f"Training at {self._queue.host}"
        if remote.position:
            return f"Waiting at {self._queue.host} behind {remote.position} others"
        return f"Waiting at {self._queue.host}"

    def _brought_home(
        self,
        offer: FalOffer,
        task: FinetuneTask,
        remote: FalTask,
        result: dict[str, Any],
        report: TrainingReporter,
        check: Check,
    ) -> FinetuneOutcome:
        address = _address(result)
        if address is None:
            raise failure(fault("task-without-result"), self._queue.host, task=remote.id)
        report.progress(
            f"Fetching the LoRA from {self._queue.host}", task.parameters.steps, task.parameters.steps
        )
        path = task.run_dir / "lora.safetensors"
        self._files.fetch_lora(address, path, remote.id, check)
        facts: dict[str, object] = {
            "host": self._queue.host,
            "trainer": offer.trainer,
            "request_id": remote.id,
            "lora_url": address,
            "price_usd": offer.price.of(task.parameters.steps),
            "dataset_hash": task.metadata.get("dataset_hash", ""),
        }
        return FinetuneOutcome(path, facts, remote_id=address if len(address) <= LONGEST_ADDRESS else None)


def _address(result: dict[str, Any]) -> str | None:
    """Where the LoRA is: FLUX.3's trainer calls it `lora_file`, the others `diffusers_lora_file`."""
    for name in ("lora_file", "diffusers_lora_file"):
        match result.get(name):
            case {"url": str(url)} if url:
                return url
    return None


def _step(line: str, total: int) -> int:
    """The step that a line of the log tells, such as `250/1000`; 0 if it tells none."""
    steps = [int(step) for step, of in _STEP.findall(line) if int(of) == total and int(step) <= total]
    return steps[-1] if steps else 0


def _loss(lines: list[str]) -> float | None:
    found = [match for line in lines for match in _LOSS.findall(line)]
    try:
        return float(found[-1]) if found else None
    except ValueError:
        return None
