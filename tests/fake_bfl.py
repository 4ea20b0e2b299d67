"""A scripted BFL at the socket: what an honest BFL answers, and the faults that any host may have."""

from __future__ import annotations

import json

from tests.fake_host import (
    HTML,
    TEN_MEGABYTES,
    Exchange,
    FakeHost,
    Move,
    Seen,
    a_byte_a_time,
    cuts_off,
    damaged_gzip,
    dated,
    hangs,
    image,
    lies_about_length,
    redirects,
    resets,
    says,
    sends,
    slow_headers,
    stalls,
)

__all__ = [
    "HTML",
    "TEN_MEGABYTES",
    "Exchange",
    "FakeBfl",
    "Move",
    "Seen",
    "a_byte_a_time",
    "accepts",
    "cuts_off",
    "damaged_gzip",
    "dated",
    "hangs",
    "image",
    "lies_about_length",
    "pending",
    "ready",
    "redirects",
    "resets",
    "says",
    "sends",
    "slow_headers",
    "stalls",
    "status",
]


class FakeBfl(FakeHost):
    """The server; what is not in its script is answered with 404 in BFL's shape."""


def accepts(task: str = "task-1") -> Move:
    """Accept a task; it is polled at this very server."""

    def move(exchange: Exchange) -> None:
        url = f"{exchange.server.url}/v1/get_result?id={task}"
        exchange.answer(200, json.dumps({"id": task, "polling_url": url, "cost": 1.4}).encode())

    return move


def pending(progress: float | None = None) -> Move:
    """The task still runs."""
    return says(200, {"id": "task-1", "status": "Pending", "result": None, "progress": progress})


def status(name: str, **more: object) -> Move:
    """The task has this status."""
    return says(200, {"id": "task-1", "status": name, "result": None, **more})


def ready(sample: str = "/pictures/1", seed: int = 7) -> Move:
    """The task is ready; `sample` is a path of this server or a whole address."""

    def move(exchange: Exchange) -> None:
        url = sample if "://" in sample else exchange.server.url + sample
        result = {"sample": url, "prompt": "a cup", "seed": seed, "duration": 1.5}
        exchange.answer(200, json.dumps({"id": "task-1", "status": "Ready", "result": result}).encode())

    return move
