"""What every benchmark prints and writes: a table, and `benchmarks/out/<name>.json`.

Not a test: whether a claim holds depends on the machine, so it is written down and not asserted.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "out"


@dataclass(frozen=True)
class Row:
    """One claim: ours against a peer's in the same run; `ratio` is how many times better ours is."""

    claim: str
    ours: float
    peer: float | None
    unit: str
    ratio: float | None
    target: str
    holds: bool


def compared(
    claim: str, ours: float, peer: float, unit: str, *, more_is_better: bool, at_least: float
) -> Row:
    """A row whose target is a ratio to the peer."""
    ratio = ours / peer if more_is_better else peer / ours
    return Row(claim, ours, peer, unit, ratio, f">= {at_least:g}", ratio >= at_least)


def measured(
    claim: str, ours: float, unit: str, *, at_least: float | None = None, at_most: float | None = None
) -> Row:
    """A row without a peer; one without a target is there to be read beside another, and holds."""
    if at_least is not None:
        return Row(claim, ours, None, unit, None, f">= {at_least:g}", ours >= at_least)
    if at_most is not None:
        return Row(claim, ours, None, unit, None, f"<= {at_most:g}", ours <= at_most)
    return Row(claim, ours, None, unit, None, "-", True)


def publish(name: str, rows: Sequence[Row], packages: Sequence[str], folder: Path = OUT, **more: Any) -> None:
    """Print the table and write the JSON file."""
    print(_table(rows))
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "rows": [asdict(row) for row in rows],
        "machine": _machine(),
        "versions": {package: importlib.metadata.version(package) for package in packages},
        **more,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    print(f"Written to {path}.")


def _machine() -> str:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, load {load:.1f} at the end"


def _table(rows: Sequence[Row]) -> str:
    lines = [f"{'claim':44} {'ours':>10} {'peer':>10} {'unit':10} {'ratio':>6}  {'target':8} holds"]
    for row in rows:
        peer = f"{row.peer:10.2f}" if row.peer is not None else f"{'-':>10}"
        ratio = f"{row.ratio:6.2f}" if row.ratio is not None else f"{'-':>6}"
        holds = "yes" if row.holds else "no"
        lines.append(f"{row.claim:44} {row.ours:10.2f} {peer} {row.unit:10} {ratio}  {row.target:8} {holds}")
    return "\n".join(lines)
