"""What all request bodies of BFL's API have in common, and the fields that many of them share.

Unknown fields are tolerated and null means "not given" wherever a field may be left out: BFL's clients
rely on both. Words and limits are those of BFL's OpenAPI of 2025, so that the page `/docs` reads alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError


class OutputFormat(StrEnum):
    """Format of the picture's file."""

    jpeg = "jpeg"
    png = "png"


class Body(BaseModel):
    """A request's JSON body."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        if not all(_is_unicode(value) for value in data.values() if isinstance(value, str)):
            raise PydanticCustomError("string_unicode", "must be valid Unicode text")
        return {
            name: value
            for name, value in data.items()
            if value is not None or name not in cls.model_fields or cls.model_fields[name].is_required()
        }


def _is_unicode(text: str) -> bool:
    """False for text that JSON can spell but nothing can store: half of a surrogate pair."""
    if text.isascii():  # at once, however long
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Notified(Body):
    """A body that may ask for a call back when the task has ended."""

    webhook_url: HttpUrl | None = Field(
        None,
        description="URL to receive webhook notifications. This server sends none yet, and refuses it.",
    )
    webhook_secret: str | None = Field(None, description="Optional secret for webhook signature verification")


Side = Annotated[int, Field(ge=256, le=1440, multiple_of=32)]
Prompt = Annotated[
    str,
    Field(
        description="Text prompt for image generation.",
        json_schema_extra={"example": "ein fantastisches bild"},
    ),
]
OptionalPrompt = Annotated[
    str | None,
    Field(
        description="Text prompt for image generation.",
        json_schema_extra={"example": "ein fantastisches bild"},
    ),
]
Width = Annotated[
    Side, Field(description="Width of the generated image in pixels. Must be a multiple of 32.")
]
Height = Annotated[
    Side, Field(description="Height of the generated image in pixels. Must be a multiple of 32.")
]
ImagePrompt = Annotated[
    str | None, Field(description="Optional base64 encoded image to use with Flux Redux.")
]
Upsampling = Annotated[
    bool,
    Field(
        description="Whether to perform upsampling on the prompt. If active, automatically modifies the "
        "prompt for more creative generation."
    ),
]
UnionlessSeed = Annotated[
    int | None,
    WithJsonSchema({"type": "integer", "example": 42}),  # so BFL writes it here; null is taken all the same
    Field(description="Optional seed for reproducibility."),
]
OptionalSeed = Annotated[
    int | None,
    Field(
        description="Optional seed for reproducibility.",
        json_schema_extra={"example": 42},
    ),
]
SafetyTolerance = Annotated[
    int,
    Field(
        ge=0,
        le=6,
        description="Tolerance level for input and output moderation. Between 0 and 6, 0 being most strict, "
        "6 being least strict. This server accepts it, but checks nothing yet.",
        json_schema_extra={"example": 2},
    ),
]
Format = Annotated[
    OutputFormat, Field(description="Output format for the generated image. Can be 'jpeg' or 'png'.")
]
OptionalFormat = Annotated[
    OutputFormat | None, Field(description="Output format for the generated image. Can be 'jpeg' or 'png'.")
]
Guidance = Annotated[float, Field(ge=1.5, le=5)]
GUIDANCE_SAYS = (
    "Guidance scale for image generation. High guidance scales improve prompt adherence at the cost of "
    "reduced realism."
)
