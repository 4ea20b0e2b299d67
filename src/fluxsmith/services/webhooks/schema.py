"""What a webhook and the attempts to deliver it look like. A secret is never shown."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

WebhookState = Literal["waiting", "sending", "delivered", "failed"]


class Attempt(BaseModel):
    """One attempt: the status that was answered, or why there was none."""

    model_config = ConfigDict(frozen=True)

    number: int
    at: datetime
    duration_ms: int
    status_code: int | None
    error: str | None


class Webhook(BaseModel):
    """Where the end of a task is told, and what came of it; its id is the event id that receivers get."""

    model_config = ConfigDict(frozen=True)

    id: str
    task_id: str
    url: str
    signed: bool = Field(description="Whether notifications carry X-BFL-Signature.")
    state: WebhookState = Field(
        description="waiting for the task to end, sending (again), delivered, or failed for good."
    )
    next_at: datetime | None = Field(description="When it is sent next.")
    attempts: tuple[Attempt, ...]
    created_at: datetime
