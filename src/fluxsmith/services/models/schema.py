"""What a model looks like to people and programs."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Origin = Literal["base", "finetune", "import", "link"]
_UPLOADED_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Model(BaseModel):
    """A base model, or a LoRA finetuned from one."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    kind: Literal["base", "lora"]
    origin: Origin
    base_model: str
    trigger_word: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    license: str | None = None
    capabilities: tuple[str, ...] = ()
    provider: str = "local"
    trainable: bool = False
    drawable: bool = True
    remote_id: str | None = None
    created_at: datetime | None = None


class ImportRequest(BaseModel):
    """What to call an uploaded LoRA, and what it was trained on; as on BFL's page for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        min_length=1,
        max_length=100,
        title="Name",
        description="Its finetune_id: lower-case letters, digits, - and _.",
    )
    base_model: str = Field(
        min_length=1, max_length=200, title="Base", description="The model that it was trained on."
    )
    trigger_word: str = Field(
        "",
        max_length=100,
        title="Trigger word",
        description="The word that calls up what it has learned; empty for the one that its file names.",
    )

    @field_validator("name")
    @classmethod
    def _as_at_bfl(cls, value: str) -> str:
        value = value.strip()
        if not _UPLOADED_NAME.fullmatch(value):
            raise ValueError(
                "must be lower-case letters, digits, - and _, and begin with none of the last two"
            )
        return value

    @field_validator("trigger_word")
    @classmethod
    def _printable(cls, value: str) -> str:
        return printable(value)


class LinkRequest(BaseModel):
    """A LoRA that a provider keeps, and how to call it here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_model: str = Field(
        min_length=1, max_length=200, title="Base", description="The model that it was trained on."
    )
    remote_id: str = Field(
        min_length=1,
        max_length=200,
        title="Id",
        description="Its name at the provider; `organisation/name` for a shared one.",
    )
    name: str = Field(min_length=1, max_length=200, title="Name", description="What to call it here.")
    trigger_word: str = Field(
        "", max_length=100, title="Trigger word", description="The word that calls up what it has learned."
    )

    @field_validator("remote_id", "name", "trigger_word")
    @classmethod
    def _printable(cls, value: str) -> str:
        return printable(value)


def printable(value: str) -> str:
    """A line of text without the space around it.

    Raises:
        ValueError: it has control characters.
    """
    value = value.strip()
    if any(not letter.isprintable() for letter in value):
        raise ValueError("must not contain control characters")
    return value
