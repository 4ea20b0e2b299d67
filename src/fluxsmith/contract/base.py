"""What all request bodies of BFL's API have in common. The fields that many of them share are in `fields`.

Unknown fields are tolerated and null means "not given" wherever a field may be left out: BFL's clients
rely on both. Words and limits are those of BFL's OpenAPI of 2025, so that the page `/docs` reads alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, model_validator
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


def _without_nul(text: str) -> str:
    """The text itself, unless it has what PostgreSQL cannot store."""
    if "\0" in text:
        raise ValueError("must not contain NUL characters")
    return text


class Notified(Body):
    """A body that may ask for a call back when the task has ended."""

    webhook_url: HttpUrl | None = Field(
        None,
        description="URL to receive a signed notification when the task has ended. Addresses inside the "
        "server's own network are refused, unless its operator allows them.",
    )
    webhook_secret: Annotated[str, AfterValidator(_without_nul)] | None = Field(
        None,
        description="Optional secret: with it a notification has the header X-BFL-Signature, sha256= and the "
        "hex HMAC-SHA256 of its raw body.",
    )
