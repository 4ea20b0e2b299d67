"""A worker process from start to end: its slot, its heartbeat, its jobs.

`run_worker` blocks until the process is told to end: by SIGTERM or Ctrl-C, or, under a supervisor, by
the end of its standard input, which is the end of the supervisor. It then lets go of its jobs
unfinished and ends within seconds, whatever still runs in it; whoever comes next continues them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from fluxsmith.core import workers
from fluxsmith.core.job_schema import WorkerState
from fluxsmith.core.jobs import Handler, JobContext
from fluxsmith.core.logging import get_logger
from fluxsmith.core.workers import WorkerRegistry
from fluxsmith.errors import FluxsmithError
from fluxsmith.tasks.notifications import notifier
from fluxsmith.worker.carrier import Carrier
from fluxsmith.worker.executor import Executor
from fluxsmith.worker.folder_locks import lock_slot

if TYPE_CHECKING:
    from fluxsmith.container import ServiceContainer

ENDS_WITHIN_S = 5.0
WARM_UP_AGAIN_S = 30.0  # weights may be copied into place while the worker runs

_log = get_logger(__name__)


def run_worker(container: ServiceContainer, *, supervised: bool = False) -> None:
    """Carry out jobs until told to end; then end the process.

    Args:
        container: whose services carry the jobs out.
        supervised: whether standard input is a pipe whose end means to end.
    """
    stop = threading.Event()
    _stop_on_signals(stop)
    if supervised:
        _in_background("parent-watch", lambda: _stop_with_parent(stop))
    worker_id, lock = lock_slot(container.settings.data_dir)
    worker = Worker(container, worker_id)
    worker.start()
    _log.info("The worker is at work.", worker=worker_id)
    stop.wait()
    _in_background("deadline", _end_in_time)
    worker.stop()
    lock.release()
    sys.stderr.flush()
    os._exit(0)  # threads that still draw or wait must not hold the process


class Worker:
    """The parts of a worker, wired: carrier, executor, heartbeat, warm-up."""

    def __init__(self, container: ServiceContainer, worker_id: str) -> None:
        self._container = container
        self._id = worker_id
        self._registry = WorkerRegistry(container.db)
        self._started_at = datetime.now(UTC)
        self._state: WorkerState = "starting"
        self._detail = ""
        self._warm = threading.Event()
        self._stopped = threading.Event()
        handlers: dict[str, Handler] = {
            "finetune": container.finetuning.carry_out,
            "generate": self._when_warm(container.inference.carry_out),
            "webhook": partial(container.webhooks.deliver, notification_of=notifier(container)),
        }
        self._carrier = Carrier(container.jobs, worker_id, handlers)
        self._executor = Executor(container.db, worker_id, self._carrier.carry_out)

    def start(self) -> None:
        """Begin to work."""
        self._beat()  # before the executor: from now on nobody takes this worker's jobs
        self._executor.launch()
        _in_background("heartbeat", self._keep_beating)
        _in_background("warm-up", self._warm_up)
        _in_background("sweep", self._sweep)

    def stop(self) -> None:
        """Let go of all jobs and say so."""
        self._stopped.set()
        self._carrier.stop()
        self._state = "stopped"
        self._beat()
        self._executor.stop()

    def _keep_beating(self) -> None:
        while not self._stopped.is_set():
            self._beat()
            try:
                self._executor.take_over(self._registry.holders())
                self._registry.forget_old()
            except Exception:  # noqa: BLE001 - the edge of a thread that must go on
                _log.exception("Looking for jobs of dead workers failed; trying again.")
            self._stopped.wait(workers.HEARTBEAT_S)

    def _beat(self) -> None:
        try:
            self._registry.beat(self._id, os.getpid(), self._state, self._detail, self._started_at)
        except FluxsmithError as error:
            _log.warning("The heartbeat could not be written.", error=str(error))

    def _warm_up(self) -> None:
        """Load the model that is set, and tell everybody whether that went well."""
        providers, model = self._container.providers, self._container.settings.model
        while not self._stopped.is_set():
            try:
                info = providers.find_model(model)
                providers.get(info.provider if info else "local").warm_up(model)
                self._state, self._detail = "ready", ""
            except FluxsmithError as error:
                self._state, self._detail = "failing", str(error)
                _log.error("The model cannot be loaded.", error=str(error))
            except Exception as error:  # noqa: BLE001 - the edge of a thread
                self._state, self._detail = "failing", f"{type(error).__name__}: {error}"
                _log.exception("The model cannot be loaded.")
            self._warm.set()
            self._beat()
            if self._state == "ready" or self._stopped.wait(WARM_UP_AGAIN_S):
                return

    def _sweep(self) -> None:
        try:
            swept = self._container.storage.sweep()
        except OSError as error:
            _log.warning("Looking for half-written files failed.", error=str(error))
        else:
            if swept:
                _log.info("Files that were left half written are removed.", files=swept)

    def _when_warm(self, handler: Handler) -> Handler:
        """Let generations here wait for the warm-up: one model in memory, loaded once."""

        def carry_out(context: JobContext) -> None:
            if self._container.jobs.get(context.job_id).queue != "generate":  # drawn elsewhere
                handler(context)
                return
            if not self._warm.is_set():
                context.progress("loading the model", 0, 0)
            while not self._warm.wait(0.1):
                context.cancelled()
            handler(context)

        return carry_out


def _stop_on_signals(stop: threading.Event) -> None:
    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)


def _stop_with_parent(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stop.set()
    _end_in_time()  # the main thread may be deep in somebody's C code


def _end_in_time() -> None:
    threading.Event().wait(ENDS_WITHIN_S)
    os._exit(1)


def _in_background(name: str, run: Callable[[], None]) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()
