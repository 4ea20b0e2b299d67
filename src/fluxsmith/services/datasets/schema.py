"""What goes into a dataset, and what one looks like."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

MAX_CAPTION_CHARS = 2_000  # several times what any text encoder here reads
MAX_NAME_CHARS = 200  # what the database's column holds


@dataclass(frozen=True)
class Upload:
    """A file that somebody handed over: a picture, a `.txt` caption or a zip of both."""

    filename: str
    data: bytes | Path


class DatasetName(BaseModel):
    """The name of a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        min_length=1, max_length=MAX_NAME_CHARS, title="Name", description="What to call the pictures."
    )

    @field_validator("name")
    @classmethod
    def _legible(cls, value: str) -> str:
        value = value.strip()
        if not value:
            raise ValueError("must not be blank")
        if any(unicodedata.category(character) == "Cc" for character in value):
            raise ValueError("must not contain control characters")
        return value


class Caption(BaseModel):
    """The words of one picture; blank means none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    caption: str | None = Field(
        None,
        max_length=MAX_CAPTION_CHARS,
        title="Caption",
        description="What the picture shows, with the trigger word; empty to have one written.",
    )

    @field_validator("caption")
    @classmethod
    def _legible(cls, value: str | None) -> str | None:
        if value is not None and "\0" in value:
            raise ValueError("must not contain NUL characters")
        return (value or "").strip() or None


class DatasetImage(BaseModel):
    """One picture of a dataset, as it is trained on."""

    model_config = ConfigDict(frozen=True)

    id: str
    filename: str
    storage_key: str
    sha256: str
    width: int
    height: int
    caption: str | None


class Dataset(BaseModel):
    """A named set of pictures; `notes` tell, once, what importing them changed."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    created_at: datetime
    images: tuple[DatasetImage, ...]
    notes: tuple[str, ...] = ()
