"""One exchange of a client and a server, as a line of a recording holds it: one JSON object.

Not for what is on the wire: lengths and encodings that belong to one connection are left out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

CONNECTION_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that are about one connection, not about the request or the answer (RFC 9110, 7.6.1)."""


class Part(BaseModel):
    """A piece of a recording."""

    model_config = ConfigDict(frozen=True)


class Body(Part):
    """What was sent with a request or an answer; compressed ones are unpacked."""

    kind: Literal["json", "text", "base64", "left-out"]
    value: Any = Field(None, description="The JSON, the text, or the bytes as base64.")
    sha256: str | None = Field(None, description="Of a body that was left out.")
    size_bytes: int | None = Field(None, description="Of a body that was left out.")


class Request(Part):
    """What the client sent; `path` is below the address that the exchange was with."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = {}
    body: Body | None = None

    @property
    def target(self) -> str:
        """Path and query, as people and requests name it."""
        return f"{self.path}?{self.query}" if self.query else self.path


class Answer(Part):
    """What the server answered."""

    status: int
    headers: dict[str, str] = {}
    body: Body | None = None
    cut_off: bool = Field(False, description="Its end never came: the client or the server went away.")

    @property
    def media_type(self) -> str:
        """The kind of content, without its parameters."""
        return media_type(self.headers.get("content-type", ""))


class Exchange(Part):
    """A request and its answer; without an answer, `failure` says in words why there is none."""

    at: str = Field(description="The address that was spoken to.")
    began: datetime
    took_s: float
    request: Request
    answer: Answer | None = None
    failure: str | None = None

    @property
    def url(self) -> str:
        """The whole address of the request."""
        return self.at + self.request.target


def media_type(content_type: str) -> str:
    """The kind of content that a `content-type` names, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether a `content-type` is JSON's, or one that is made of it."""
    kind = media_type(content_type)
    return kind == "application/json" or kind.endswith("+json")
