"""fal's queue: a request that was accepted, polled until it ends, and found again when its answer was lost.

Source: fal's queue reference, its Platform API, and the client in the wheel `fal-client` 1.0.3. A request
names its own addresses; only the part of its model's name before the second slash is in them. A request that
fails is COMPLETED too, with `error`, or with an error as its response. Sends no paid request.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict

from fluxsmith.core.api_faults import failure, fault
from fluxsmith.core.api_service import APIService, Check
from fluxsmith.core.api_words import read_words
from fluxsmith.core.cloud_tasks import CloudTask
from fluxsmith.errors import APIError
from fluxsmith.providers.remote_patience import LOST, MOST_ODD_POLLS, RemotePatience

LISTED = 100  # requests on one page of the history, the most that it gives
CLOCK_OFF = timedelta(minutes=10)  # how far our clock and fal's may differ
_ENDED_BADLY = frozenset({"FAILED", "ERROR", "CANCELED", "CANCELLED"})


class _Open(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Polled(_Open):
    """A poll's answer, read leniently."""

    status: str
    queue_position: int | None = None
    logs: Any = None
    error: Any = None
    response_url: str | None = None


class Result(BaseModel):
    """What a model returned; each has a shape of its own."""

    model_config = ConfigDict(extra="allow")


class Request(_Open):
    """One request of the account's history."""

    request_id: str
    json_input: Any = None
    json_output: Any = None


class Requests(_Open):
    """A page of the history."""

    items: list[Request]


class FalTask:
    """Follows one accepted request.

    Args:
        queue: the way to the queue.
        history: the way to the Platform API.
        endpoint: whose request it is.
        stuck_s: how long nothing may move.
    """

    def __init__(
        self, queue: APIService, history: APIService, endpoint: str, accepted: CloudTask, stuck_s: float
    ) -> None:
        assert accepted.task_id is not None, "only accepted requests are polled"
        self.id = accepted.task_id
        self.part = accepted.part
        self.progress = 0.0
        self.position: int | None = None
        self.running = False
        self.logs: list[str] = []
        self._queue = queue
        self._history = history
        self._endpoint = endpoint
        self._place = f"/{'/'.join(endpoint.split('/')[:2])}/requests/{self.id}"
        self._status_url = accepted.polling_url or f"{self._place}/status"
        self._odd_responses = 0
        self._told = 0
        self._patience = RemotePatience(queue, self.id, stuck_s)

    def poll(self, check: Check) -> dict[str, Any] | None:
        """The result if the request is completed, None while it is not.

        Raises:
            APIError: it has failed, or is stuck.
        """
        try:
            answer = self._queue.get(Polled, _with(self._status_url, logs=1), check=check)
            if answer.status == "COMPLETED" and not answer.error:
                self._note(answer)
                return self._response(answer.response_url or self._place, check)
        except APIError as error:
            if error.code == LOST and (recorded := self._recorded(check)) is not None:
                return recorded
            if error.code == "task-failed":
                raise
            self._patience.missed(error)
            return None
        self._patience.answered()
        self._note(answer)
        if answer.status in _ENDED_BADLY or answer.error:
            raise self._failed(_said(answer.error) or (self.logs[-1] if self.logs else ""))
        self._patience.still_runs((answer.status, answer.queue_position, len(self.logs)))
        return None

    def news(self) -> list[str]:
        """Lines of the log that were not asked for before."""
        fresh, self._told = self.logs[self._told :], max(self._told, len(self.logs))
        return fresh

    def cancel(self) -> str:
        """Ask fal to stop it, and tell in words what it answered."""
        address = self._status_url.partition("?")[0].removesuffix("/status") + "/cancel"
        try:
            self._queue.put(_Open, address)
        except APIError as error:
            if error.code == "api-refused-input":  # HTTP 400: it is completed
                return f"It had already ended at {self._queue.host}, so it is charged."
            return f"It could not be stopped at {self._queue.host}, and may be charged: {error}"
        return f"{self._queue.host} was asked to stop it; what was done until then may be charged."

    def _response(self, address: str, check: Check) -> dict[str, Any]:
        """What a completed request returned: its result, or the error that it ended in."""
        try:
            return self._queue.get(Result, address, check=check).model_dump()
        except APIError as error:
            self._odd_responses += 1
            gave_up = error.code == "api-failed" and self._odd_responses >= MOST_ODD_POLLS
            if error.code in ("api-refused-input", "api-refused") or gave_up:
                raise self._failed(error.message.partition(": ")[2]) from error
            raise

    def _recorded(self, check: Check) -> dict[str, Any] | None:
        """The result in the history, which keeps it longer than the queue does."""
        with contextlib.suppress(APIError):  # the queue may know it at the next poll
            for request in history_of(self._history, self._endpoint, check, request_id=self.id):
                if request.request_id == self.id and isinstance(request.json_output, dict):
                    return request.json_output
        return None

    def _failed(self, said: str) -> APIError:
        return failure(fault("task-failed"), self._queue.host, said=said)

    def _note(self, answer: Polled) -> None:
        self.position = answer.queue_position if answer.status == "IN_QUEUE" else None
        self.running = answer.status == "IN_PROGRESS"
        if isinstance(answer.logs, list):
            told = [entry.get("message") for entry in answer.logs if isinstance(entry, dict)]
            self.logs = [line for line in told if isinstance(line, str) and line.strip()]


def find_request(history: APIService, endpoint: str, value: str, since: datetime, check: Check) -> str | None:
    """The id of the request that was sent with this value in it, or None if the history shows none.

    Raises:
        APIError: the history cannot be read.
    """
    start = (since - CLOCK_OFF).strftime("%Y-%m-%dT%H:%M:%SZ")
    for request in history_of(history, endpoint, check, start=start):
        if isinstance(request.json_input, dict) and value in request.json_input.values():
            return request.request_id
    return None


def history_of(history: APIService, endpoint: str, check: Check, **query: str) -> list[Request]:
    """The account's requests to an endpoint, with what was sent and what came.

    Raises:
        APIError: the history cannot be read.
    """
    asked = urlencode({"endpoint_id": endpoint, "expand": "payloads", "limit": LISTED, **query})
    return history.get(Requests, f"/v1/models/requests/by-endpoint?{asked}", check=check).items


def _with(address: str, **query: int) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"


def _said(error: object) -> str:
    return read_words({"message": error} if isinstance(error, str) else error).text
