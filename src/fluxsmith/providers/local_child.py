"""One child process that trains: its pipes, its events, its end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import IO

_log = logging.getLogger(__name__)

_LAST_LINES = 40
_CANCELLED = 3
_SIGNS_OF_MEMORY = ("bad_alloc", "allocate memory", "out of memory")


def command(run_dir: Path) -> list[str]:
    """What starts a child."""
    return [sys.executable, "-m", "fluxsmith.engine", str(run_dir)]


class Child:
    """A running `python -m fluxsmith.engine`; leaving the context ends it, whatever happened."""

    def __init__(self, run_dir: Path) -> None:
        self._process = subprocess.Popen(
            command(run_dir),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._events: queue.Queue[dict[str, object] | None] = queue.Queue()
        self._words: deque[str] = deque(maxlen=_LAST_LINES)
        self._all_read = False
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    @property
    def pid(self) -> int:
        """Its process id, which is that of its group."""
        return self._process.pid

    def next_event(self, timeout_s: float) -> dict[str, object] | None:
        """The next event, or None if none came in time or none will come."""
        if self._all_read:
            return None
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._all_read = event is None
        return event

    def ended(self) -> bool:
        """Whether it has ended and all of its events were taken."""
        return self._all_read and self._process.wait() is not None

    def cancel(self) -> None:
        """Ask it to stop within a step."""
        pipe = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.write("cancel\n")
                pipe.flush()

    @property
    def cancelled(self) -> bool:
        """Whether it ended because it was asked to."""
        return self._process.returncode == _CANCELLED

    @property
    def killed(self) -> bool:
        """Whether a signal ended it."""
        return self._process.returncode < 0

    @property
    def status(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"

    @property
    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self._words)

    def ran_out_of_memory(self) -> bool:
        """Whether its last words say so."""
        words = self.last_words.lower()
        return any(sign in words for sign in _SIGNS_OF_MEMORY)

    def _read_events(self) -> None:
        for line in _lines(self._process.stdout):
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the torn last line of a process that was killed
            if isinstance(event, dict):
                self._events.put(event)
        self._events.put(None)

    def _read_log(self) -> None:
        for line in _lines(self._process.stderr):
            self._words.append(line.rstrip())
            _log.debug("training: %s", line.rstrip())


def _lines(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("The child process has no pipe.")
    return pipe
