"""When a webhook is tried again: waits with full jitter under a bound that doubles, and an end."""

from __future__ import annotations

import pytest

from fluxsmith.services.webhooks import Patience

DAY_S = 86_400


@pytest.mark.parametrize(
    ("tries", "bound_s"), [(1, 5), (2, 10), (3, 20), (8, 640), (11, 3600), (60, 3600), (5000, 3600)]
)
def test_a_wait_is_drawn_between_nothing_and_a_bound_that_doubles(tries: int, bound_s: float) -> None:
    asked: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        asked.append((low, high))
        return high / 3

    assert Patience(5, 3600, DAY_S).next_wait_s(tries, 60, draw) == bound_s / 3
    assert asked == [(0, bound_s)]


def test_after_a_day_nothing_is_tried_any_more() -> None:
    patience = Patience(5, 3600, DAY_S)
    assert patience.next_wait_s(40, DAY_S - 1, lambda low, high: high) == 3600
    assert patience.next_wait_s(41, DAY_S, lambda low, high: high) is None
