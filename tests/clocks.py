"""Clocks for tests: sleeping takes no time, but the clock goes on as if it did."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from fluxsmith.core.clock import Clock


class SkippingClock(Clock):
    """Real time, plus what was slept, plus how far the time of day is off."""

    def __init__(self, off: timedelta = timedelta(0)) -> None:
        self.slept: list[float] = []
        self.off = off

    @property
    def waited_s(self) -> float:
        """All that was slept."""
        return sum(self.slept)

    def now(self) -> datetime:
        """The time of day."""
        return datetime.now(UTC) + timedelta(seconds=self.waited_s) + self.off

    def monotonic(self) -> float:
        """The stopwatch."""
        return time.monotonic() + self.waited_s

    def sleep(self, seconds: float) -> None:
        """Skip ahead."""
        self.slept.append(seconds)
