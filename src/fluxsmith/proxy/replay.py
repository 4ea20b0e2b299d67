"""Sends a recording's requests again, in order, and tells how the answers differ.

Polls collapse: of all that asked for one task only the last is made, until the task has ended. What was
recorded without its pictures cannot be sent again and counts as a difference. At a paid service a replay is
paid for like the recording was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal
from urllib.parse import parse_qs

import httpx
from pydantic import BaseModel, ConfigDict

from fluxsmith.core.api_faults import Service
from fluxsmith.core.clock import Clock
from fluxsmith.proxy.addresses import checked, same_house
from fluxsmith.proxy.exchange import CONNECTION_HEADERS, Answer, Body, Exchange, is_json, media_type
from fluxsmith.proxy.faults import in_words, no_address
from fluxsmith.proxy.masking import is_secret_header
from fluxsmith.proxy.names import Names
from fluxsmith.proxy.recorder import LEFT_OUT
from fluxsmith.proxy.shape import differences

PENDING = "Pending"
POLL = "/get_result"
PATIENCE_S = 600.0  # for one task to end
KEY_HEADERS = frozenset({"x-key", "authorization", "x-api-key", "api-key"})
POLL_EVERY_S = 0.2  # at first; longer and longer after that
POLL_AT_MOST_S = 2.0
ANSWER_S = 60.0
REPLAYED = Service("--to", "--key")


class Outcome(BaseModel):
    """What came of one recorded exchange, or of a task's polls, which are one."""

    model_config = ConfigDict(frozen=True)

    line: int
    request: str
    exchanges: int = 1
    recorded_status: int | None
    status: int | None = None
    verdict: Literal["same", "different", "not sent"]
    differences: list[str] = []


class Replay:
    """Sends recorded requests to a server.

    Args:
        to: the server's address.
        key: stands where a key was recorded; without one the words of the recording are sent.
        patience_s: how long a task may take.
        clock: time; another one in tests.

    Raises:
        ValidationError: `to` is not an address.
    """

    def __init__(
        self, to: str, key: str | None = None, patience_s: float = PATIENCE_S, clock: Clock | None = None
    ) -> None:
        self._to = checked(to)
        self._key = key
        self._patience_s = patience_s
        self._clock = clock or Clock()
        self._names = Names()
        self._http = httpx.Client(verify=httpx.create_ssl_context(), timeout=ANSWER_S, trust_env=False)

    def run(self, exchanges: Sequence[Exchange]) -> Iterator[Outcome]:
        """Send what was recorded, and say what came of each.

        Raises:
            APIError: the server cannot be reached, or breaks off.
        """
        left = Counter(map(polled_task, exchanges))
        passed_over: Counter[str | None] = Counter()
        for line, exchange in enumerate(exchanges, 1):
            task = polled_task(exchange)
            left[task] -= 1
            if task and left[task] and _status(exchange.answer) == PENDING:
                passed_over[task] += 1  # a later poll of this task stands for it
            else:
                yield self._outcome(line, exchange, 1 + passed_over.pop(task, 0))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _outcome(self, line: int, exchange: Exchange, count: int) -> Outcome:
        recorded = exchange.answer
        said: dict[str, Any] = {
            "line": line,
            "request": f"{exchange.request.method} {exchange.request.target}",
            "exchanges": count,
            "recorded_status": recorded.status if recorded else None,
        }
        if recorded is None or recorded.cut_off:  # nothing to compare with
            return Outcome(**said, verdict="not sent")
        if _lacks_files(exchange.request.body):
            words = "its pictures were left out of the recording"
            return Outcome(**said, verdict="not sent", differences=[words])
        came = self._ended(exchange) if polled_task(exchange) else self._send(exchange)
        found = _compared(recorded, came)
        if recorded.body is not None and recorded.body.kind == "json":
            self._names.learn(recorded.body.value, _json(came))
        return Outcome(
            **said, status=came.status_code, verdict="different" if found else "same", differences=found
        )

    def _ended(self, exchange: Exchange) -> httpx.Response:
        """The answer to a poll once its task has ended, or has been waited for long enough."""
        end_s = self._clock.monotonic() + self._patience_s
        wait_s = POLL_EVERY_S
        came = self._send(exchange)
        while _state(came) == PENDING and _status(exchange.answer) != PENDING:
            if self._clock.monotonic() > end_s:
                break
            self._clock.sleep(wait_s)
            wait_s = min(wait_s * 1.2, POLL_AT_MOST_S)
            came = self._send(exchange)
        return came

    def _send(self, exchange: Exchange) -> httpx.Response:
        request = exchange.request
        url = self._names.address(exchange.url) or self._to + self._names.text(request.target)
        given, content = self._names.content(request.body)
        if given is not None:
            content = json.dumps(given).encode()
        try:
            sent = httpx.Request(request.method, url, headers=self._headers(exchange, url), content=content)
            return self._http.send(sent)
        except httpx.InvalidURL as error:
            raise no_address(url) from error
        except httpx.RequestError as error:
            raise in_words(error, url, REPLAYED) from error

    def _headers(self, exchange: Exchange, url: str) -> dict[str, str]:
        """The recorded headers, the key in place of what stands for it; none for a host of another house."""
        trusted = same_house(self._to, url)
        headers = {"accept-encoding": "identity"}
        for name, value in exchange.request.headers.items():
            if name in CONNECTION_HEADERS or name == "accept-encoding":
                continue
            if not is_secret_header(name):
                headers[name] = value
            elif trusted and name in KEY_HEADERS and self._key is not None:
                headers[name] = self._unmasked(value)
            elif trusted:
                headers[name] = value
        return headers

    def _unmasked(self, value: str) -> str:
        scheme, space, _ = value.rpartition(" ")
        return f"{scheme}{space}{self._key}"


def polled_task(exchange: Exchange) -> str | None:
    """The task that an exchange polls for; None if it is no poll."""
    if exchange.request.method != "GET" or not exchange.request.path.endswith(POLL):
        return None
    return next(iter(parse_qs(exchange.request.query).get("id", [])), None)


def _compared(recorded: Answer, came: httpx.Response) -> list[str]:
    """How an answer differs from the recorded one."""
    found = []
    if recorded.status != came.status_code:
        found.append(f"HTTP status was {recorded.status}, is {came.status_code}")
    kind = media_type(came.headers.get("content-type", ""))
    if recorded.media_type != kind:
        found.append(f"content type was '{recorded.media_type}', is '{kind}'")
    if (recorded.body is None) != (not came.content):
        found.append("the answer was empty, is not" if recorded.body is None else "the answer is empty")
    if recorded.body is None or recorded.body.kind != "json" or not is_json(kind):
        return found
    if _status(recorded) == PENDING != _state(came):
        return found  # whoever recorded went away before the end: no telling what is there now
    return found + differences(recorded.body.value, _json(came))


def _json(came: httpx.Response) -> Any:
    try:
        return came.json()
    except ValueError:
        return None


def _state(came: httpx.Response) -> Any:
    said = _json(came)
    return said.get("status") if isinstance(said, dict) else None


def _status(recorded: Answer | None) -> Any:
    value = recorded.body.value if recorded is not None and recorded.body is not None else None
    return value.get("status") if isinstance(value, dict) else None


def _lacks_files(body: Body | None) -> bool:
    if body is None:
        return False
    return body.kind == "left-out" or (body.kind == "json" and _has_left_out(body.value))


def _has_left_out(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_left_out, value.values()))
    if isinstance(value, list):
        return any(map(_has_left_out, value))
    return isinstance(value, str) and LEFT_OUT.fullmatch(value) is not None
