"""Where a run of the recipe keeps its files, and how much of the whole recipe it does.

Every stage gets a `Workplace`; none of them reads the environment or the command line.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workplace:
    """A folder for intermediate files and the share of the recipe to carry out.

    Args:
        root: everything the recipe makes lies under it.
        fraction: 1 is the whole recipe; 0.02 is a trial of a few minutes with few things and few steps.
        processes: how many train the transformer together; one a core.
        compiled: let torch compile the transformer; needs a C++ compiler and pays after some minutes.
    """

    root: Path
    fraction: float = 1.0
    compiled: bool = False
    processes: int = 1

    def path(self, *parts: str) -> Path:
        """A path under the root whose parent folder exists."""
        target = self.root.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def count(self, full: int, least: int = 1) -> int:
        """`full` scaled by the fraction."""
        return max(least, round(full * self.fraction))

    def log(self, stage: str, **numbers: float | int | str) -> None:
        """Append one line to the run log and print it."""
        line = {"at": round(time.time()), "stage": stage, **numbers}
        with self.path("run.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def stable_hash(text: str) -> int:
    """A number from a text which is the same in every process (Python's own hash is salted)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
