"""When to ask a remote service again: how long to wait, what it advises, and when to leave it alone.

Backoff with full jitter: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015.
`Retry-After` in both forms: RFC 9110, 10.2.3. Nothing here sends anything.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from fluxsmith.core.clock import Clock


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently to repeat.

    Args:
        attempts: tries in all.
        first_s: the wait after the first try is anything up to this; it doubles with each.
        most_s: no wait of our own is longer.
        most_advised_s: advice to wait longer than this is not followed but passed on to people.
    """

    attempts: int = 5
    first_s: float = 0.5
    most_s: float = 20.0
    most_advised_s: float = 120.0

    def wait_s(self, tried: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """How long to wait after that many tries."""
        return uniform(0.0, min(self.most_s, self.first_s * 2 ** (tried - 1)))


def advised_wait_s(headers: Mapping[str, str], body: object, now: datetime) -> float | None:
    """How long the service asks to wait, by its header or its body; None if it does not say.

    A date is read against the service's own clock where it tells it, since ours may be wrong.
    """
    advice = headers.get("retry-after", "").strip()
    if seconds := _number(advice):
        return seconds
    if when := _date(advice):
        return max(0.0, (when - (_date(headers.get("date", "")) or now)).total_seconds())
    return _number(body.get("retry_after")) if isinstance(body, dict) else None


class Circuit:
    """Lets calls to one host through until it has failed several times in a row; then none for a while.

    After the rest the next call is let through: if it fails, the rest begins again.
    """

    def __init__(self, clock: Clock, failures: int = 5, rest_s: float = 30.0) -> None:
        self._clock = clock
        self._failures = failures
        self._rest_s = rest_s
        self._in_a_row = 0
        self._open_until = 0.0
        self._lock = threading.Lock()

    def closed_for_s(self) -> float:
        """Seconds until a call may be made; 0 for now."""
        with self._lock:
            return max(0.0, self._open_until - self._clock.monotonic())

    def record(self, answered: bool) -> None:
        """Count how a call went."""
        with self._lock:
            self._in_a_row = 0 if answered else self._in_a_row + 1
            if self._in_a_row >= self._failures:
                self._open_until = self._clock.monotonic() + self._rest_s


def _number(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else -1.0
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e9 else None


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
