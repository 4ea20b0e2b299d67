"""What is asked of a finetune, and what one looks like."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fluxsmith.core.jobs import Job
from fluxsmith.providers.base import FinetuneParameters, Mode


class FinetuneRequest(BaseModel):
    """A finetune to start: which pictures, which words, on what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset_id: str = Field(max_length=200, title="Dataset", description="The pictures to learn from.")
    name: str = Field(min_length=1, max_length=200, title="Name", description="What to call the model.")
    trigger_word: str = Field(
        "TOK",
        min_length=1,
        max_length=100,
        title="Trigger word",
        description="The word that calls up what is learned; best one that means nothing yet.",
    )
    mode: Mode = Field(
        "general", title="What is it?", description="Steers the captions of pictures that have none."
    )
    captioning: bool = Field(
        True, title="Write captions", description="Caption pictures that have no text of their own."
    )
    base_model: str = Field("nano", max_length=200, title="Base", description="The model to teach.")
    provider: str | None = Field(
        None,
        max_length=200,
        title="Provider",
        description="Who trains it; empty for whoever offers the base.",
    )
    parameters: FinetuneParameters = FinetuneParameters()
    accepted_cost_usd: float | None = Field(
        None,
        ge=0,
        le=100_000,
        title="Accepted cost",
        description="The most that this finetune may cost, in USD, where training costs money; "
        "ask for a quote first.",
    )

    @field_validator("name", "trigger_word")
    @classmethod
    def _printable(cls, value: str) -> str:
        value = value.strip()
        if not value:
            raise ValueError("must not be blank")
        if any(ord(character) < 32 for character in value):
            raise ValueError("must not contain control characters")
        return value


class Quote(BaseModel):
    """What a finetune would cost, before it starts."""

    model_config = ConfigDict(frozen=True)

    provider: str
    base_model: str
    steps: int
    cost_usd: float | None = Field(description="None if nothing is charged, or no price is known.")
    words: str = Field(description="The same for people.")


class Finetune(BaseModel):
    """One training run; its id is also its job's and its model's."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    provider: str
    base_model: str
    trigger_word: str
    mode: Mode
    captioning: bool
    parameters: FinetuneParameters
    dataset_id: str
    pictures: int
    facts: dict[str, Any]
    created_at: datetime
    job: Job
