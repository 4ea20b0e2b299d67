"""What BFL's API answers: submitted tasks, polls, finetunes and errors.

Names are those of BFL's OpenAPI of 2025; fields of today (`cost`, `input_mp`, `output_mp`) are added.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """A body that goes out."""

    model_config = ConfigDict(frozen=True)


class AsyncResponse(Answer):
    """A task was accepted: where to ask for its result."""

    id: str
    polling_url: str
    cost: float | None = Field(None, description="Credits that the task costs; this server charges none.")
    input_mp: float | None = Field(None, description="Megapixels of the input.")
    output_mp: float | None = Field(None, description="Megapixels of the output.")


class AsyncWebhookResponse(Answer):
    """A task was accepted, and its end will be told to the webhook; asking is possible all the same."""

    id: str
    status: str
    webhook_url: str
    polling_url: str


class FinetuneResponse(Answer):
    """A finetune was accepted; both ids are the same, since clients read either."""

    id: str
    finetune_id: str
    polling_url: str


class FinetuneWebhookResponse(FinetuneResponse):
    """A finetune was accepted, and its end will be told to the webhook."""

    status: str
    webhook_url: str


class StatusResponse(StrEnum):
    """Where a task stands: a closed set."""

    task_not_found = "Task not found"
    pending = "Pending"
    request_moderated = "Request Moderated"
    content_moderated = "Content Moderated"
    ready = "Ready"
    error = "Error"


class PictureResult(Answer):
    """The result of a generation. `sample` is fetched with a plain GET and expires."""

    sample: str
    prompt: str
    seed: int
    start_time: float | None = None
    end_time: float | None = None
    duration: float | None = None


class FinetuneResult(Answer):
    """The result of a finetune: the id to generate with."""

    finetune_id: str
    finetune_comment: str
    trigger_word: str


class ResultResponse(Answer):
    """The answer to a poll; `result` is null until the task is Ready."""

    id: str = Field(description="Task id for retrieving result")
    status: StatusResponse
    result: PictureResult | FinetuneResult | None = None
    progress: float | None = Field(None, ge=0, le=1)
    details: dict[str, Any] | None = None


class MyFinetunesResponse(Answer):
    """The ids of all finetunes."""

    finetunes: list[str] = Field(description="List of finetunes created by the user")


class FinetuneDetailResponse(Answer):
    """The parameters of one finetune, and how it fares."""

    finetune_details: dict[str, Any] = Field(description="Details about the parameters used for finetuning")


class DeleteFinetuneResponse(Answer):
    """A finetune was deleted."""

    status: str = Field(description="Status of the deletion")
    message: str = Field(description="Message about the deletion")
    deleted_finetune_id: str = Field(description="ID of the deleted finetune")
    timestamp: str = Field(description="Timestamp of the deletion")


class InvalidField(Answer):
    """One thing wrong with a request."""

    loc: list[str | int] = Field(title="Location")
    msg: str = Field(title="Message")
    type: str = Field(title="Error Type")


class ErrorResponse(Answer):
    """Every answer of 400 and above: an object with words, and `detail` as BFL's clients read it."""

    error: str = Field(description="A code that stays the same, for programs.")
    message: str = Field(description="What is wrong, for people.")
    hint: str = Field(description="What to do about it; may be empty.")
    detail: list[InvalidField] | str = Field(
        description="A list where fields are at fault, else the message."
    )
    request_id: str = Field(description="Under this id the server's log has more.")
    retry_after: int | None = Field(None, description="Seconds to wait before trying again.")
