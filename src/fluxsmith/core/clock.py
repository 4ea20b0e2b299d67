"""Time, as those use it who wait: passed in, so that tests need not wait with them."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """The time of day, a stopwatch, and sleep."""

    def now(self) -> datetime:
        """The time of day, UTC; may be wrong and may jump."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a stopwatch that never goes backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
