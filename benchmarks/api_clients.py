"""Many clients of BFL's API at once, in a process of their own, on bare sockets.

A client library takes longer for a request than the server does, and would be measured with it; here a
request is one write and one read of a kept connection. Prints what it saw as JSON.

    python benchmarks/api_clients.py ADDRESS paced|apart|tasks CLIENTS ROUNDS
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

BODY = json.dumps({"prompt": "a red apple", "width": 256, "height": 256}).encode()
KINDS = ("nothing", "submit", "poll")
PACE_S = 0.5  # between two requests of a client, as in BFL's examples
FRESH_S = 2.0  # the server closes a connection on which nothing came for five seconds
Samples = dict[str, list[float]]


class Client:
    """One connection, one request at a time, and how long each took, in milliseconds, by its kind."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self.took_ms: Samples = {kind: [] for kind in KINDS}
        self.refused = 0
        self._task_id = ""
        self._writer: asyncio.StreamWriter | None = None
        self._answered = 0.0

    async def warm(self) -> None:
        """Send a request of each kind that is not counted."""
        for kind in KINDS:
            await self.ask(kind)
        self.took_ms = {kind: [] for kind in KINDS}

    async def ask(self, kind: str) -> dict[str, Any]:
        """Send a request of a kind; polls are for the task that was submitted last."""
        await self._connect()
        began = time.perf_counter()
        if kind == "nothing":
            status, data = await self.request("GET", "/healthz")
        elif kind == "submit":
            status, data = await self.request("POST", "/v1/flux-dev", BODY)
        else:
            status, data = await self.request("GET", f"/v1/get_result?id={self._task_id}")
        self._answered = time.perf_counter()
        self.took_ms[kind].append(1000 * (self._answered - began))
        answer: dict[str, Any] = json.loads(data)
        self.refused += status != 200
        if kind == "submit":
            self._task_id = answer.get("id", "")
        return answer

    async def task(self) -> None:
        """Submit, poll until the picture is there, fetch it."""
        await self.ask("submit")
        while (answer := await self.ask("poll"))["status"] == "Pending":
            await asyncio.sleep(PACE_S)
        path = urlsplit(answer["result"]["sample"]).path
        status, picture = await self.request("GET", path)
        self.refused += status != 200 or not picture.startswith(b"\xff\xd8")

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of an answer, whose length its head must tell."""
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\n"
        if body:
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        assert self._writer is not None, "not connected"
        self._writer.write(head.encode() + b"\r\n" + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = answer.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0]
        return int(answer[9:12]), await self._reader.readexactly(int(length))

    async def _connect(self) -> None:
        if self._writer is None or time.perf_counter() - self._answered > FRESH_S:
            if self._writer is not None:
                self._writer.close()
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)


async def paced(clients: list[Client], rounds: int) -> None:
    """Each client sends the kinds in turn, a request every half second; the clients began one by one."""

    async def ask(number: int, client: Client) -> None:
        await asyncio.sleep(PACE_S * number / len(clients))
        for turn in range(rounds * len(KINDS)):
            began = time.perf_counter()
            await client.ask(KINDS[(number + turn) % len(KINDS)])
            await asyncio.sleep(max(0.0, began + PACE_S - time.perf_counter()))

    await _all(ask(number, client) for number, client in enumerate(clients))


async def apart(clients: list[Client], rounds: int) -> None:
    """All clients send one kind at once, without a pause; then the next kind; and so on."""

    async def ask(client: Client, kind: str, times: int) -> None:
        for _ in range(times):
            await client.ask(kind)

    for _ in range(rounds):
        for kind in KINDS:
            await _all(ask(client, kind, 3) for client in clients)


async def tasks(clients: list[Client], rounds: int) -> None:
    """Each client has one picture drawn after the other."""

    async def draw(client: Client) -> None:
        for _ in range(rounds):
            await client.task()

    await _all(draw(client) for client in clients)


async def _all(coroutines: Any) -> None:
    await asyncio.gather(*coroutines)


WAYS: dict[str, Callable[[list[Client], int], Coroutine[Any, Any, None]]] = {
    "paced": paced,
    "apart": apart,
    "tasks": tasks,
}


async def _main(address: str, way: str, count: int, rounds: int) -> None:
    clients = [Client(address) for _ in range(count)]
    await _all(client.warm() for client in clients)
    began = time.perf_counter()
    await WAYS[way](clients, rounds)
    seconds = time.perf_counter() - began
    took = {kind: [each for client in clients for each in client.took_ms[kind]] for kind in KINDS}
    refused = sum(client.refused for client in clients)
    print(json.dumps({"seconds": seconds, "refused": refused, "took_ms": took}))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
