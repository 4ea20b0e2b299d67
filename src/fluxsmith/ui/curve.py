"""The loss curve as inline SVG: a dot for each step and a smoothed line through them.

Our own drawing rather than a chart library: a few hundred bytes, sharp at any size, no script.
The smoothed line is an exponential moving average with the start-up bias taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 1000.0
HEIGHT = 240.0
MAX_DOTS = 400  # more are not seen apart at this width, and each tick sends them


@dataclass(frozen=True)
class LossPoint:
    """The loss of one optimizer step."""

    step: int
    loss: float


def smoothed(points: Sequence[LossPoint], memory: float = 0.94) -> list[LossPoint]:
    """The moving average at each point; `memory` is the share that the past keeps."""
    total, weight, line = 0.0, 0.0, []
    for point in points:
        total = memory * total + (1 - memory) * point.loss
        weight = memory * weight + (1 - memory)
        line.append(LossPoint(point.step, total / weight))
    return line


def loss_curve(points: Sequence[LossPoint], total_steps: int) -> str:
    """The curve with its axes; the place is held when there is nothing to draw yet."""
    if len(points) < 2:
        return (
            '<figure class="fs-curve" data-empty><p>The loss appears here with the first steps.</p></figure>'
        )
    line = smoothed(points)
    low, high = _range([point.loss for point in points])
    last = max(total_steps, points[-1].step)

    def place(point: LossPoint) -> str:
        x = WIDTH * point.step / last
        y = HEIGHT * (1 - (min(max(point.loss, low), high) - low) / (high - low))
        return f"{x:.1f} {y:.1f}"

    dots = "".join(f"M{place(point)}h.01" for point in _thinned(points))
    path = "M" + "L".join(place(point) for point in _thinned(line))
    grid = "".join(
        f'<path class="fs-grid" d="M0 {HEIGHT * part}H{WIDTH}"/>' for part in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        '<figure class="fs-curve"><figcaption><strong>Loss</strong>'
        f"<span><b>{line[-1].loss:.3f}</b> smoothed</span></figcaption>"
        f'<div class="fs-plot"><span class="fs-y"><i>{high:.2f}</i><i>{low:.2f}</i></span>'
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" role="img" '
        f'aria-label="Loss after {points[-1].step} steps: {line[-1].loss:.3f}, smoothed">'
        f'{grid}<path class="fs-dots" d="{dots}"/><path class="fs-line" d="{path}"/></svg>'
        f'<span class="fs-x"><i>0</i><i>{last:,} steps</i></span></div></figure>'
    )


def _range(losses: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(losses)
    low, high = ordered[len(ordered) // 50], ordered[-1 - len(ordered) // 50]
    margin = max((high - low) * 0.08, 1e-6)
    return max(0.0, low - margin), high + margin


def _thinned(points: Sequence[LossPoint]) -> Sequence[LossPoint]:
    if len(points) <= MAX_DOTS:
        return points
    stride = len(points) / MAX_DOTS
    return [points[int(index * stride)] for index in range(MAX_DOTS)] + [points[-1]]
