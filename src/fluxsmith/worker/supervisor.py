"""Keeps a server's worker processes alive: starts them, starts them again, ends them.

A worker is `python -m fluxsmith worker --supervised`. Its standard input is a pipe from here: when this
process goes, however it goes, the pipe ends and the worker with it.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from fluxsmith.config.settings import Settings
from fluxsmith.core.logging import get_logger

COMMAND = (sys.executable, "-m", "fluxsmith", "worker", "--supervised")
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
SETTLED_AFTER_S = 30.0  # a worker that lived this long starts again without a pause
ENDS_WITHIN_S = 8.0  # longer than a worker takes to end by itself
# Torch's threads wait for one another by spinning; beside another busy program that costs a training
# nearly all of its time (measured: 3 instead of 40 steps/s). So they spin a moment, then sleep.
THREADS = {"GOMP_SPINCOUNT": "1000"}

_log = get_logger(__name__)


class Supervisor:
    """The workers of one server.

    Args:
        settings: `workers` says how many.
        command: what to run, for tests.
    """

    def __init__(self, settings: Settings, command: Sequence[str] = COMMAND) -> None:
        environment = {**THREADS, **settings.for_child()}
        self._watchers = [_Watcher(command, environment) for _ in range(settings.workers)]

    def start(self) -> None:
        """Start all workers and keep them alive from now on."""
        for watcher in self._watchers:
            watcher.start()

    def stop(self) -> None:
        """End all workers; returns when they are gone. What they did is continued at the next start."""
        for watcher in self._watchers:
            watcher.tell_to_end()
        for watcher in self._watchers:
            watcher.wait_or_kill()

    def pids(self) -> list[int]:
        """The process ids of the workers that run now."""
        return [pid for watcher in self._watchers if (pid := watcher.pid) is not None]


class _Watcher(threading.Thread):
    """One worker, and the thread that starts it again."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        super().__init__(name="worker-watch", daemon=True)
        self._command = list(command)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                code = self._run_once()
            except OSError:
                _log.exception("The worker could not be started.")
                code = None
            if self._ending.is_set():
                return
            lived_s = time.monotonic() - began
            killed = code is not None and code < 0
            pause_s = (
                FIRST_PAUSE_S if killed or lived_s > SETTLED_AFTER_S else min(pause_s * 2, LONGEST_PAUSE_S)
            )
            _log.warning("The worker ended; starting it again.", how=_how(code), lived_s=round(lived_s, 1))
            self._ending.wait(pause_s)

    def tell_to_end(self) -> None:
        self._ending.set()
        with self._lock:
            process = self._process
            if process is not None and process.poll() is None:
                process.terminate()
                if process.stdin is not None:
                    with contextlib.suppress(OSError):
                        process.stdin.close()

    def wait_or_kill(self) -> None:
        if self.ident is None:
            return
        process = self._process
        if process is not None:
            try:
                process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self.join(ENDS_WITHIN_S)

    def _run_once(self) -> int:
        with self._lock:
            if self._ending.is_set():
                return 0
            # Its own session: Ctrl-C in the terminal is for the server, which then ends its workers.
            process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.PIPE, start_new_session=True
            )
            self._process = process
        code = process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        return code


def _how(code: int | None) -> str:
    if code is None:
        return "before it began"
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
