"""The reverse proxy: passes every request on, and has each exchange recorded.

JSON is read whole, since addresses in it are changed; everything else is passed on as it comes, streams too,
and as it was compressed. A server that fails becomes a 502 in the words of `core.api_faults`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fluxsmith.core.api_faults import Service
from fluxsmith.core.clock import Clock
from fluxsmith.core.logging import get_logger
from fluxsmith.errors import FluxsmithError, NotFoundError, StorageError
from fluxsmith.proxy.addresses import Addresses, Target, same_house
from fluxsmith.proxy.exchange import CONNECTION_HEADERS, is_json
from fluxsmith.proxy.faults import in_words, no_address
from fluxsmith.proxy.masking import is_secret_header
from fluxsmith.proxy.recorder import Came, Recorder, Sent, unpacked

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATIENCE = httpx.Timeout(600.0, connect=10.0)  # whoever asks decides how long is too long
PROXIED = Service("--to", "the key that the client sends")

_log = get_logger(__name__)


def create_proxy(to: str, recorder: Recorder, clock: Clock | None = None) -> Starlette:
    """A proxy to the server at `to` that records what passes.

    Raises:
        ValidationError: `to` is not an address.
    """
    proxy = _Proxy(Addresses(to), recorder, clock or Clock())

    @asynccontextmanager
    async def open_connections(_app: Starlette) -> AsyncIterator[None]:
        trusted = httpx.create_ssl_context()
        async with httpx.AsyncClient(verify=trusted, timeout=PATIENCE, trust_env=False) as proxy.http:
            yield

    routes = [Route("/{path:path}", proxy.pass_on, methods=list(METHODS))]
    return Starlette(routes=routes, lifespan=open_connections)


@dataclass(frozen=True)
class _Asked:
    """A request on its way, and what is recorded of it."""

    sent: Sent
    target: Target
    here: str
    began: datetime
    began_s: float


class _Proxy:
    def __init__(self, addresses: Addresses, recorder: Recorder, clock: Clock) -> None:
        self.http: httpx.AsyncClient
        self._addresses = addresses
        self._recorder = recorder
        self._clock = clock

    async def pass_on(self, request: Request) -> Response:
        """Pass a request on, and its answer back."""
        query = request.scope["query_string"].decode("latin-1")
        path = request.scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        try:
            target = self._addresses.target(path)
        except NotFoundError as error:
            return _told(error)
        began, began_s = self._clock.now(), self._clock.monotonic()
        headers, body = _joined(request.headers.items()), await request.body()
        sent = Sent(request.method, target.at, target.path, headers, body)
        asked = _Asked(sent, target, f"{request.url.scheme}://{request.url.netloc}", began, began_s)
        try:
            answer = await self.http.send(self._outgoing(asked, request), stream=True)
            if request.method != "HEAD" and is_json(answer.headers.get("content-type", "")):
                return await self._whole(asked, answer)
        except httpx.InvalidURL:
            return _told(no_address(target.path))
        except httpx.RequestError as error:
            return self._failed(asked, error)
        return self._streamed(asked, answer)

    def _outgoing(self, asked: _Asked, request: Request) -> httpx.Request:
        """The request as the server gets it; a host of another house sees no key."""
        trusted = same_house(self._addresses.to, asked.target.at)
        headers = [
            (name, value)
            for name, value in request.headers.items()
            if name not in CONNECTION_HEADERS
            and name != "accept-encoding"
            and (trusted or not is_secret_header(name))
        ]
        gzip = "gzip" in request.headers.get("accept-encoding", "")
        headers.append(("accept-encoding", "gzip" if gzip else "identity"))  # what can be unpacked here
        content = asked.sent.body or (b"" if asked.sent.method in ("POST", "PUT", "PATCH") else None)
        return httpx.Request(asked.sent.method, asked.target.url, headers=headers, content=content)

    async def _whole(self, asked: _Asked, answer: httpx.Response) -> Response:
        """Pass JSON on, with its addresses led through the proxy."""
        try:
            raw = b"".join([piece async for piece in answer.aiter_raw()])
        finally:
            await answer.aclose()
        body = unpacked(raw, answer.headers.get("content-encoding", ""))
        self._record(asked, answer, raw)
        headers = self._headers(answer, asked.here)
        changed = None if body is None else self._led(body, asked.here)
        if changed is None:
            return _answered(answer.status_code, headers, raw)
        plain = [(name, value) for name, value in headers if name != "content-encoding"]
        return _answered(answer.status_code, plain, changed)

    def _led(self, body: bytes, here: str) -> bytes | None:
        """JSON with its addresses led through the proxy; None if it is no JSON or has no addresses."""
        try:
            said = json.loads(body)
            led = self._addresses.through(said, here)
        except (ValueError, RecursionError):
            return None
        return None if led == said else json.dumps(led).encode()

    def _streamed(self, asked: _Asked, answer: httpx.Response) -> Response:
        """Pass an answer on piece by piece, as it comes."""

        async def pieces() -> AsyncIterator[bytes]:
            raw, whole = bytearray(), False
            try:
                async for piece in answer.aiter_raw():
                    raw += piece
                    yield piece
                whole = True
            finally:
                self._record(asked, answer, bytes(raw), cut_off=not whole)
                await answer.aclose()

        headers = self._headers(answer, asked.here)
        length = answer.headers.get("content-length")
        if length is not None:
            headers.append(("content-length", length))
        return _set(StreamingResponse(pieces(), answer.status_code), headers)

    def _headers(self, answer: httpx.Response, here: str) -> list[tuple[str, str]]:
        """The answer's headers; a redirect to the server leads through the proxy."""
        return [
            (name, self._addresses.led(value, here) if name == "location" else value)
            for name, value in ((name.lower(), value) for name, value in answer.headers.multi_items())
            if name not in CONNECTION_HEADERS
        ]

    def _failed(self, asked: _Asked, error: httpx.RequestError) -> Response:
        """A 502 in words, and a line of the recording that says so."""
        words = in_words(error, asked.target.at, PROXIED)
        _log.warning("A request could not be passed on.", code=words.code, host=asked.target.at)
        self._write(asked, None, words.message)
        return _told(words)

    def _record(self, asked: _Asked, answer: httpx.Response, raw: bytes, *, cut_off: bool = False) -> None:
        headers = _joined(answer.headers.multi_items())
        self._write(asked, Came(answer.status_code, headers, raw, cut_off))

    def _write(self, asked: _Asked, came: Came | None, failure: str = "") -> None:
        took_s = self._clock.monotonic() - asked.began_s
        try:
            self._recorder.write(asked.sent, came, asked.began, took_s, failure)
        except StorageError as error:  # the client is not to blame, and gets its answer
            _log.error("An exchange could not be recorded.", error=str(error))


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers as they are recorded: without those of the connection, and each name once."""
    joined: dict[str, str] = {}
    for name, value in headers:
        if name.lower() not in CONNECTION_HEADERS:
            joined[name.lower()] = f"{joined[name.lower()]}, {value}" if name.lower() in joined else value
    return joined


def _answered(status: int, headers: list[tuple[str, str]], body: bytes) -> Response:
    return _set(Response(body, status), [*headers, ("content-length", str(len(body)))])


def _set(response: Response, headers: list[tuple[str, str]]) -> Response:
    """The response with exactly these headers, one of a name or several."""
    response.raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return response


def _told(error: FluxsmithError) -> Response:
    """An error as BFL's clients read one."""
    said = {"error": error.code, "message": error.message, "hint": error.hint, "detail": error.message}
    return JSONResponse(said, error.status)
