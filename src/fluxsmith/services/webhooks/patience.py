"""When to try again, and when to give up: exponential backoff with full jitter.

Source: Marc Brooker, "Exponential Backoff And Jitter", 2015: waits drawn between nothing and a bound that
doubles keep many receivers that came back together from being called all at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long to wait and try.

    Args:
        first_s: bound of the first wait.
        most_s: bound of any wait.
        for_s: after this long nothing is tried any more.
    """

    first_s: float
    most_s: float
    for_s: float

    def next_wait_s(
        self, tries: int, elapsed_s: float, draw: Callable[[float, float], float]
    ) -> float | None:
        """Seconds until the next attempt, or None to give up.

        Args:
            tries: attempts so far, at least one.
            elapsed_s: seconds since before the first of them.
            draw: a number between two others, uniformly.
        """
        if elapsed_s >= self.for_s:
            return None
        doublings = min(tries - 1, 64)  # beyond that the bound is most_s anyway, and a float may overflow
        return draw(0.0, min(self.most_s, self.first_s * 2**doublings))
