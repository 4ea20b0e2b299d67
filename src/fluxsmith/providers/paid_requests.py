"""Paid requests, each sent at most once: the intent on disk, the request, the answer on disk.

Whoever comes back to a request finds it accepted (and follows it), or sent without an answer. Then it may
have been charged, so it is looked for where the host can list, and else ends in words; it is never repeated
on a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from fluxsmith.core.api_faults import failure, fault
from fluxsmith.core.api_service import APIService, Check
from fluxsmith.core.cloud_tasks import CloudTask, CloudTasks
from fluxsmith.core.logging import get_logger
from fluxsmith.errors import APIError, FluxsmithError

MAYBE_CHARGED = "task-maybe-charged"
_log = get_logger(__name__)


class Accepted(BaseModel):
    """The answer to a paid request, in BFL's words or fal's; older servers send no polling_url."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(min_length=1, max_length=200, validation_alias=AliasChoices("id", "request_id"))
    polling_url: str | None = Field(None, validation_alias=AliasChoices("polling_url", "status_url"))
    cost: float | None = None


@dataclass(frozen=True)
class PaidRequest:
    """What is to be sent.

    Args:
        job_id, part: under which it is known in the ledger.
        body: made only when it is sent, since it may be large.
        total_s: how long the exchange may take; None for the usual.
    """

    job_id: str
    part: int
    path: str
    body: Callable[[], Mapping[str, Any]]
    total_s: float | None = None


class PaidRequests:
    """Sends paid requests of one provider by the ledger."""

    def __init__(self, api: APIService, tasks: CloudTasks) -> None:
        self._api = api
        self._tasks = tasks

    def send(self, request: PaidRequest, check: Check) -> CloudTask | None:
        """Send a request unless it was sent before; None if as many as allowed are in flight.

        Raises:
            APIError: refused, or `task-maybe-charged`: it was sent, now or before a crash, without an answer.
        """
        task = self._tasks.intend(request.job_id, request.part, request.path)
        if task is None or task.task_id is not None:
            return task
        if not task.ours:
            raise self._lost("this server was interrupted before it came")
        try:
            check()
            answer = self._api.post(
                Accepted, request.path, request.body(), total_s=request.total_s, check=check
            )
        except APIError as error:
            if error.unsure:
                raise self._lost(error.message) from error
            self._tasks.refused(task)
            raise
        except FluxsmithError:  # cancelled, or taken over, while nothing was on its way
            self._tasks.refused(task)
            raise
        _log.info("A task was accepted.", host=self._api.host, task=answer.id, cost=answer.cost)
        return self._tasks.accepted(task, answer.id, answer.polling_url)

    def intended_at(self, request: PaidRequest) -> datetime:
        """When a request without an answer was about to be sent."""
        return self._tasks.get(request.job_id, request.part).intended_at

    def known_as(self, request: PaidRequest, task_id: str) -> CloudTask:
        """Note that a request without an answer was accepted under this id."""
        return self._tasks.accepted(self._tasks.get(request.job_id, request.part), task_id, None)

    def never_arrived(self, request: PaidRequest) -> None:
        """Note that a request without an answer was not carried out, so that it may be sent again."""
        self._tasks.refused(self._tasks.get(request.job_id, request.part))

    def ended(self, job_id: str, part: int) -> None:
        """Note that nobody waits for a request any more."""
        self._tasks.ended(job_id, part)

    def _lost(self, why: str) -> APIError:
        return failure(fault(MAYBE_CHARGED), self._api.host, said=why)
