"""The way from httpx to the socket, with a limit on how long one exchange may take in all.

Every read and write also ends at the deadline of the exchange, whatever has been received by then.
Errors are httpcore's own; `api_faults` knows them.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

from fluxsmith.core.deadline import DeadlineStream

CONNECTIONS = 32  # more than there are tasks in flight
KEPT_IDLE_S = 20.0  # shorter than what servers keep, so that a reused connection is rarely a dead one

_left: ContextVar[Callable[[], float] | None] = ContextVar("left", default=None)


@contextmanager
def deadline(monotonic: Callable[[], float], total_s: float) -> Iterator[None]:
    """Every exchange inside must have ended `total_s` from now."""
    end = monotonic() + total_s
    token = _left.set(lambda: end - monotonic())
    try:
        yield
    finally:
        _left.reset(token)


class DeadlineTransport(httpx.BaseTransport):
    """A pool of connections to any host, over which exchanges keep their deadline."""

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context,
            max_connections=CONNECTIONS,
            keepalive_expiry=KEPT_IDLE_S,
            network_backend=_Backend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer's head; the body follows as it is read."""
        assert isinstance(request.stream, httpx.SyncByteStream)
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _Backend(httpcore.SyncBackend):
    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        return DeadlineStream(super().connect_tcp(host, port, *args, **kwargs), _seconds_left)


def _seconds_left() -> float | None:
    left = _left.get()
    return None if left is None else left()


def read_at_most(chunks: Iterable[bytes], limit_bytes: int) -> bytes | None:
    """A body, or None if it is longer than `limit_bytes`; what is beyond is not read."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > limit_bytes:
            return None
    return bytes(body)
