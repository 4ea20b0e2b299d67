"""What a training run tells while it goes on, and how it learns that it should stop.

`LineEvents` writes JSON lines for the process that started this one; tests pass a list of their own.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import IO, Any, Protocol


class TrainEvents(Protocol):
    """Listener of a training run."""

    def progress(
        self,
        stage: str,
        step: int,
        total: int,
        *,
        loss: float | None = None,
        learning_rate: float | None = None,
        eta_s: float | None = None,
    ) -> None:
        """Take the stage, the step in it, and what is known of it."""

    def sample(self, step: int, prompt: str, path: Path) -> None:
        """Take a live sample drawn after `step` steps."""

    def message(self, text: str) -> None:
        """Take a line in words for people."""

    def stopping(self) -> bool:
        """Whether the run should stop; asked at every step."""


class LineEvents:
    """Writes each event as one JSON line; `stop` makes `stopping` true."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask the run to stop."""
        self._stop.set()

    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def progress(
        self,
        stage: str,
        step: int,
        total: int,
        *,
        loss: float | None = None,
        learning_rate: float | None = None,
        eta_s: float | None = None,
    ) -> None:
        """Write a progress line."""
        numbers = {"loss": loss, "learning_rate": learning_rate, "eta_s": eta_s}
        self.write("progress", stage=stage, step=step, total=total, **numbers)

    def sample(self, step: int, prompt: str, path: Path) -> None:
        """Write a sample line."""
        self.write("sample", step=step, prompt=prompt, path=str(path))

    def message(self, text: str) -> None:
        """Write a message line."""
        self.write("message", text=text)

    def write(self, kind: str, **values: Any) -> None:
        """Write one line of that kind."""
        line = json.dumps({"kind": kind, **values})
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()
