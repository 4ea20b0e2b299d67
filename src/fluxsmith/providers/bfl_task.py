"""One task that BFL, or another fluxsmith, has accepted: polled until it ends, whatever happens meanwhile.

States: §4 of the contract; one that is not known counts as pending. Sends no paid request.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fluxsmith.contract.answers import StatusResponse
from fluxsmith.core.api_faults import failure, fault
from fluxsmith.core.api_service import APIService, Check
from fluxsmith.core.api_words import read_words
from fluxsmith.core.cloud_tasks import CloudTask
from fluxsmith.errors import APIError
from fluxsmith.providers.remote_patience import RemotePatience

_ENDINGS = {
    StatusResponse.request_moderated: "task-request-moderated",
    StatusResponse.content_moderated: "task-content-moderated",
    StatusResponse.error: "task-failed",
}


class Polled(BaseModel):
    """A poll's answer, read leniently: only its state must be there."""

    model_config = ConfigDict(extra="ignore")

    status: str
    result: Any = None
    progress: float | None = None
    details: Any = None
    error: Any = Field(None, description="Seen beside `details` on failures.")

    @field_validator("progress", mode="before")
    @classmethod
    def _a_share(cls, value: Any) -> float | None:
        share = isinstance(value, int | float) and 0 <= value <= 1
        return float(value) if share else None


class RemoteTask:
    """Follows one accepted task.

    Args:
        stuck_s: how long nothing may move.
    """

    def __init__(self, api: APIService, accepted: CloudTask, stuck_s: float) -> None:
        assert accepted.task_id is not None, "only accepted tasks are polled"
        self.id = accepted.task_id
        self.part = accepted.part
        self.progress = 0.0
        self.details: dict[str, Any] = {}
        self._api = api
        self._where = accepted.polling_url or f"/v1/get_result?id={self.id}"
        self._patience = RemotePatience(api, self.id, stuck_s)

    def poll(self, check: Check) -> dict[str, Any] | None:
        """The result if the task is ready, None while it is not.

        Raises:
            APIError: it has ended otherwise, or is stuck.
        """
        try:
            answer = self._api.get(Polled, self._where, check=check)
        except APIError as error:
            self._patience.missed(error)
            return None
        if answer.status == StatusResponse.task_not_found:
            self._patience.missed(failure(fault("task-lost"), self._api.host, task=self.id))
            return None
        self._patience.answered()
        if answer.status == StatusResponse.ready:
            return self._result(answer)
        for state, code in _ENDINGS.items():
            if answer.status == state:
                raise failure(fault(code), self._api.host, said=_why(answer))
        self._note(answer)
        return None

    def _result(self, answer: Polled) -> dict[str, Any]:
        if not isinstance(answer.result, dict):
            raise failure(fault("task-without-result"), self._api.host, task=self.id)
        self.progress = 1.0
        return answer.result

    def _note(self, answer: Polled) -> None:
        self.progress = max(self.progress, answer.progress or 0.0)
        self.details = answer.details if isinstance(answer.details, dict) else {}
        self._patience.still_runs((answer.status, self.progress, repr(self.details)))


def _why(answer: Polled) -> str:
    """What a failed task says about itself: text, or an object in any of the shapes of errors."""
    for words in (answer.details, answer.error, answer.result):
        if isinstance(words, str) and words.strip():
            return read_words({"message": words}).text
        if said := read_words(words).text:
            return said
    details = answer.details
    reasons = details.get("Moderation Reasons") if isinstance(details, dict) else None
    return ", ".join(str(reason) for reason in reasons) if isinstance(reasons, list) else ""
