"""The supervisor: workers are started, started again, and never outlive it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fluxsmith.config.settings import Settings
from fluxsmith.worker.supervisor import Supervisor

PATIENT = "import sys; open(sys.argv[1], 'a').write('started\\n'); sys.stdin.read()"
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "open(sys.argv[1], 'a').write('started\\n'); time.sleep(600)"
)
BROKEN = "import sys; open(sys.argv[1], 'a').write('started\\n'); sys.exit(3)"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def supervise(code: str, log: Path, workers: int = 1) -> Supervisor:
    log.touch()
    supervisor = Supervisor(Settings(workers=workers), [sys.executable, "-c", code, str(log)])
    supervisor.start()
    return supervisor


def starts(log: Path) -> int:
    return log.read_text().count("started")


def test_a_killed_worker_is_started_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    supervisor = supervise(PATIENT, log)
    until(lambda: starts(log) == 1)
    (first,) = supervisor.pids()

    os.kill(first, signal.SIGKILL)
    until(lambda: starts(log) == 2)

    assert supervisor.pids() != [first]
    supervisor.stop()


def test_stopping_ends_all_workers_and_starts_none(tmp_path: Path) -> None:
    log = tmp_path / "log"
    supervisor = supervise(PATIENT, log, workers=2)
    until(lambda: starts(log) == 2)
    pids = supervisor.pids()

    supervisor.stop()

    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert supervisor.pids() == []


def test_a_worker_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluxsmith.worker.supervisor.ENDS_WITHIN_S", 0.5)
    log = tmp_path / "log"
    supervisor = supervise(STUBBORN, log)
    until(lambda: starts(log) == 1)
    (pid,) = supervisor.pids()

    supervisor.stop()

    assert not psutil.pid_exists(pid)


def test_a_worker_that_cannot_start_is_tried_again_ever_more_slowly(tmp_path: Path) -> None:
    log = tmp_path / "log"
    supervisor = supervise(BROKEN, log)
    until(lambda: starts(log) >= 2)

    supervisor.stop()

    assert starts(log) < 10


def test_a_server_without_workers_starts_none(tmp_path: Path) -> None:
    supervisor = supervise(PATIENT, tmp_path / "log", workers=0)

    assert supervisor.pids() == []
    supervisor.stop()
