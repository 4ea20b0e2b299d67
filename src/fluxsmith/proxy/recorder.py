"""From what passed on the wire to a line of the file, without secrets; and from the file back.

The file is its owner's alone, and is whole after each exchange.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pydantic

from fluxsmith.errors import ConflictError, NotFoundError, StorageError, ValidationError
from fluxsmith.proxy.exchange import Answer, Body, Exchange, Request, is_json, media_type
from fluxsmith.proxy.masking import Secrets

OWNER_ONLY = 0o600
SHORTEST_PICTURE = 88  # characters of base64; the smallest PNG has more
LEFT_OUT = re.compile(r"sha256:([0-9a-f]{64}):(\d+)")
"""What stands in JSON where a picture or another file was left out: its hash and its bytes."""

_BASE64 = re.compile(r"(?:data:[\w/+.;=-]+;base64,)?([A-Za-z0-9+/_\r\n-]+={0,2})\s*")


@dataclass(frozen=True)
class Keep:
    """How much of pictures and other files is kept.

    Args:
        limit_bytes: what is larger is kept as its hash and size.
        pictures: False keeps all of them as hash and size; then they cannot be replayed.
    """

    limit_bytes: int = 10_000_000
    pictures: bool = True

    @property
    def most_bytes(self) -> int:
        """The largest file that is kept."""
        return self.limit_bytes if self.pictures else 0


@dataclass(frozen=True)
class Sent:
    """A request as it was on the wire.

    Args:
        at: the address of the server.
        target: path and query below it.
    """

    method: str
    at: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Came:
    """An answer as it was on the wire; `cut_off` if its end never came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut_off: bool = False


class Recorder:
    """Writes exchanges to a new file, from any thread.

    Args:
        path: the file; it must not exist.
        keep: how much of pictures is kept.
        secrets: what is taken out.

    Raises:
        ConflictError: the file exists.
        StorageError: it cannot be made.
    """

    def __init__(self, path: Path, keep: Keep | None = None, secrets: Secrets | None = None) -> None:
        self.path = path
        self.count = 0
        self._keep = keep or Keep()
        self._secrets = secrets or Secrets()
        self._lock = threading.Lock()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        except FileExistsError as error:
            raise ConflictError(
                "recording-exists",
                f"{path} exists already.",
                hint="Choose another name, or delete it first.",
                field="record",
            ) from error
        except OSError as error:
            raise _unwritable(path, error) from error
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")

    def write(self, sent: Sent, came: Came | None, began: datetime, took_s: float, failure: str = "") -> None:
        """Add one exchange; without an answer, `failure` says why there is none.

        Raises:
            StorageError: the disk refuses.
        """
        with self._lock:
            exchange = Exchange(
                at=self._secrets.text(sent.at),
                began=began,
                took_s=round(took_s, 3),
                request=self._request(sent),
                answer=None if came is None else self._answer(came),
                failure=failure or None,
            )
            line = json.dumps(exchange.model_dump(exclude_defaults=True), default=datetime.isoformat)
            self._append(self._secrets.sweep(line))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _append(self, line: str) -> None:
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:  # ValueError: closed already
            raise _unwritable(self.path, error) from error
        self.count += 1

    def _request(self, sent: Sent) -> Request:
        hide = self._secrets
        headers = hide.headers(sent.headers)  # first: the key may be repeated in all the rest
        path, _, query = sent.target.partition("?")
        body = self._body(headers, sent.body)
        return Request(
            method=sent.method, path=hide.text(path), query=hide.query(query), headers=headers, body=body
        )

    def _answer(self, came: Came) -> Answer:
        headers = self._secrets.headers(came.headers)
        body = self._body(headers, came.body)
        return Answer(status=came.status, headers=headers, body=body, cut_off=came.cut_off)

    def _body(self, headers: dict[str, str], packed: bytes) -> Body | None:
        """The body as it is recorded; if it can be unpacked, the headers say no more that it was packed."""
        if not packed:
            return None
        body = unpacked(packed, headers.get("content-encoding", ""))
        if body is None:  # nobody knows what is in it
            return _left_out(packed)
        headers.pop("content-encoding", None)
        content_type = headers.get("content-type", "")
        kind = media_type(content_type)
        parsed = _parsed(body, content_type)
        if parsed is not None:
            return self._json(parsed.value, body)
        text = _text(body, kind)
        if text is not None:
            form = kind == "application/x-www-form-urlencoded"
            return Body(kind="text", value=self._secrets.query(text) if form else self._secrets.text(text))
        if len(body) > self._keep.most_bytes:
            return _left_out(body)
        kept = self._secrets.form(body) if kind.startswith("multipart/") else body
        return Body(kind="base64", value=base64.b64encode(self._secrets.sweep_bytes(kept)).decode())

    def _json(self, value: Any, body: bytes) -> Body:
        try:
            return Body(kind="json", value=self._secrets.data(self._without_files(value)))
        except RecursionError:  # nested so deeply that nobody can look into it
            return _left_out(body)

    def _without_files(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._without_files(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._without_files(item) for item in value]
        if not isinstance(value, str) or len(value) < max(SHORTEST_PICTURE, self._keep.most_bytes):
            return value
        data = _decoded_base64(value)
        if data is None or len(data) <= self._keep.most_bytes:
            return value
        return f"sha256:{hashlib.sha256(data).hexdigest()}:{len(data)}"


def read_recording(path: Path) -> list[Exchange]:
    """The exchanges of a file, in order.

    Raises:
        NotFoundError: there is no such file.
        StorageError: it cannot be read.
        ValidationError: a line is no exchange.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise NotFoundError("recording-not-found", f"There is no file {path}.", field="file") from error
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", None) or "it is not text"
        raise StorageError("recording-unreadable", f"{path} cannot be read: {words}.") from error
    return [_exchange(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def unpacked(body: bytes, encoding: str) -> bytes | None:
    """A body as it was before it was compressed; None if it cannot be unpacked."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip" | "deflate":
            try:
                return zlib.decompress(body, zlib.MAX_WBITS | 32)  # 32: gzip's head or zlib's
            except zlib.error:
                return None
        case _:
            return None


def _left_out(body: bytes) -> Body:
    return Body(kind="left-out", sha256=hashlib.sha256(body).hexdigest(), size_bytes=len(body))


@dataclass(frozen=True)
class _Parsed:
    value: Any


def _parsed(body: bytes, content_type: str) -> _Parsed | None:
    """A body as JSON, if it is; clients forget to say so."""
    if content_type and not is_json(content_type) and media_type(content_type) != "text/plain":
        return None
    try:
        return _Parsed(json.loads(body))
    except (ValueError, RecursionError):
        return None


def _text(body: bytes, kind: str) -> str | None:
    """A body as text; None for pictures and other binary ones."""
    if kind.startswith(("image/", "audio/", "video/", "multipart/")) or kind == "application/octet-stream":
        return None
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _decoded_base64(text: str) -> bytes | None:
    found = _BASE64.fullmatch(text)
    if found is None:
        return None
    letters = "".join(found[1].split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4))
    except binascii.Error:
        return None


def _exchange(path: Path, number: int, line: str) -> Exchange:
    try:
        return Exchange.model_validate(json.loads(line))
    except (ValueError, RecursionError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, pydantic.ValidationError) else str(error)
        raise ValidationError(
            "recording-damaged",
            f"Line {number} of {path} is no exchange: {what}.",
            hint="`fluxsmith proxy --to URL --record FILE` makes a recording.",
            field="file",
        ) from error


def _unwritable(path: Path, error: Exception) -> StorageError:
    return StorageError(
        "recording-not-writable",
        f"{path} cannot be written: {getattr(error, 'strerror', None) or error}.",
        hint="Choose a folder that exists, that you may write to and that has room.",
        field="record",
    )
