"""A scripted host at the socket: a real threaded HTTP server that misbehaves exactly as told.

A test writes a script: for a path, the moves of its first, second, … request; the last one stays. A move
gets the open socket, so it can also break off, dawdle or lie. Requests are kept as they came. Nothing of
ours is used here.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

TLS_HELLO = b"\x16"
HANG_S = 5.0  # longer than any patience in the tests


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Exchange:
    """A request that waits for its answer, and the socket to give it on."""

    request: Seen
    socket: socket.socket
    server: FakeHost
    closed: bool = False

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None
    ) -> None:
        lines = {
            "content-length": str(len(body) if length is None else length),
            "content-type": "application/json",
            **(headers or {}),
        }
        head = f"HTTP/1.1 {status} Said\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in lines.items()
        )
        self.send(head.encode() + b"\r\n" + body)

    def break_off(self) -> None:
        """Close, so that the client sees the end of the stream."""
        self.closed = True

    def reset(self) -> None:
        """Close, so that the client sees a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.closed = True

    def hang(self) -> None:
        """Say nothing more until the client has gone."""
        self.server.stopping.wait(HANG_S)
        self.closed = True


Move = Callable[[Exchange], None]


class FakeHost:
    """The server. `moves` holds the script; what is not in it is answered with 404."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.moves: dict[str, list[Move]] = {}
        self.resets = 0  # connections that are reset as soon as they are made
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        fake = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                fake._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def script(self, path: str, *moves: Move) -> None:
        """What to do with the requests for a path, one after another; the last move stays."""
        self.moves[path] = list(moves)

    def seen(self, path: str) -> list[Seen]:
        """The requests that came for a path."""
        return [request for request in self.requests if request.path == path]

    def close(self) -> None:
        """Stop listening."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            reset, self.resets = self.resets > 0, max(0, self.resets - 1)
        exchange = Exchange(Seen("", "", "", {}, b""), connection, self)
        if reset:
            exchange.reset()
            return
        if connection.recv(1, socket.MSG_PEEK) == TLS_HELLO:
            exchange.answer(400, b"This port speaks plain HTTP.")
            return
        reader = connection.makefile("rb")
        while not exchange.closed and not self.stopping.is_set():
            try:
                request = _read(reader)
            except OSError:
                return
            if request is None:
                return
            exchange.request = request
            self._move(request)(exchange)

    def _move(self, request: Seen) -> Move:
        with self._lock:
            self.requests.append(request)
            moves = self.moves.get(request.path, [])
            if not moves:
                return says(404, {"detail": "Not Found"})
            return moves.pop(0) if len(moves) > 1 else moves[0]


def _read(reader: Any) -> Seen | None:
    line = reader.readline().decode("latin-1").split()
    if len(line) < 2:
        return None
    headers: dict[str, str] = {}
    while (text := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    parts = urlsplit(line[1])
    body = reader.read(int(headers.get("content-length", 0)))
    return Seen(line[0], parts.path, parts.query, headers, body)


# Moves: honest ones first.


def says(status: int, body: object, headers: dict[str, str] | None = None) -> Move:
    """Answer with JSON."""
    return lambda exchange: exchange.answer(status, json.dumps(body).encode(), headers)


def sends(body: bytes, content_type: str, status: int = 200) -> Move:
    """Answer with bytes."""
    return lambda exchange: exchange.answer(status, body, {"content-type": content_type})


def image(width: int = 64, height: int = 64, kind: str = "PNG") -> bytes:
    """A picture with a red left half."""
    picture = Image.new("RGB", (width, height), (30, 60, 200))
    picture.paste((220, 40, 40), (0, 0, width // 2, height))
    data = io.BytesIO()
    picture.save(data, kind)
    return data.getvalue()


# Moves that go wrong. Those that hang want a client of little patience; for others it should have much,
# or a busy machine looks like a fault.


def resets(exchange: Exchange) -> None:
    """Read the request, then reset the connection."""
    exchange.reset()


def hangs(exchange: Exchange) -> None:
    """Never answer."""
    exchange.hang()


def slow_headers(exchange: Exchange) -> None:
    """A header's letter every twentieth of a second, without end: no single read ever times out."""
    exchange.send(b"HTTP/1.1 200 OK\r\nx-slow: ")
    _drip(exchange, b"z")


def a_byte_a_time(exchange: Exchange) -> None:
    """A body that comes byte by byte, without end."""
    exchange.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n")
    _drip(exchange, b" ")


def _drip(exchange: Exchange, letter: bytes) -> None:
    end = time.monotonic() + HANG_S
    while time.monotonic() < end and not exchange.server.stopping.wait(0.05):
        try:
            exchange.socket.sendall(letter)
        except OSError:
            break
    exchange.closed = True


def stalls(body: bytes) -> Move:
    """Send half of a body, then nothing."""

    def move(exchange: Exchange) -> None:
        exchange.send(
            f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2]
        )
        exchange.hang()

    return move


def cuts_off(body: bytes) -> Move:
    """Send half of a body, then close."""

    def move(exchange: Exchange) -> None:
        exchange.answer(200, body[: len(body) // 2], length=len(body))
        exchange.break_off()

    return move


def lies_about_length(body: bytes) -> Move:
    """Declare fewer bytes than are sent."""

    def move(exchange: Exchange) -> None:
        exchange.answer(200, body, length=len(body) // 2)
        exchange.break_off()

    return move


def damaged_gzip(exchange: Exchange) -> None:
    """Declare gzip and send it with a broken middle."""
    packed = bytearray(gzip.compress(json.dumps({"id": "x" * 500}).encode()))
    packed[12:20] = b"\xff" * 8
    exchange.answer(200, bytes(packed), {"content-encoding": "gzip"})


def dated(status_code: int, off: timedelta, wait_s: int) -> Move:
    """An answer by a server whose clock is off, with `Retry-After` as a date on that clock."""

    def move(exchange: Exchange) -> None:
        now = datetime.now(UTC) + off
        form = "%a, %d %b %Y %H:%M:%S GMT"
        headers = {
            "date": now.strftime(form),
            "retry-after": (now + timedelta(seconds=wait_s)).strftime(form),
        }
        exchange.answer(status_code, b'{"detail": "Too many"}', headers)

    return move


HTML = sends(b"<!doctype html><title>Sign in</title>", "text/html")
TEN_MEGABYTES = sends(b'{"id": "' + b"x" * 10_000_000 + b'"}', "application/json")


def redirects(to: str, status_code: int = 307) -> Move:
    """Send the client elsewhere."""
    return lambda exchange: exchange.answer(status_code, b"", {"location": to})
