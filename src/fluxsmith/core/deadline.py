"""A connection whose every wait ends at one moment, however little comes at a time.

Time-outs of an HTTP client are for one read each, so a server that sends a byte a second is never too slow
for them. Whoever connects wraps the connection in a `DeadlineStream`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import httpcore

Left = Callable[[], float | None]
"""Seconds until the deadline, not positive when it is over; None if there is none."""


class DeadlineStream(httpcore.NetworkStream):
    """A connection that is given up at its deadline, with httpcore's own time-out errors."""

    def __init__(self, stream: httpcore.NetworkStream, left: Left) -> None:
        self._stream = stream
        self._left = left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Receive."""
        return self._stream.read(max_bytes, at_most(self._left, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send."""
        self._stream.write(buffer, at_most(self._left, timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Hang up."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Encrypt; the certificate must be the name's, whichever address was connected to."""
        limit = at_most(self._left, timeout, httpcore.ConnectTimeout)
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, limit), self._left)

    def get_extra_info(self, info: str) -> Any:
        """What the connection says of itself."""
        return self._stream.get_extra_info(info)


def at_most(left: Left, timeout: float | None, late: type[Exception]) -> float | None:
    """The shorter of a time-out and what is left; raises `late` when nothing is."""
    remaining = left()
    if remaining is None:
        return timeout
    if remaining <= 0:
        raise late("The exchange took too long in all.")
    return remaining if timeout is None else min(timeout, remaining)
