"""DBOS Transact as we use it: one workflow, three queues, recovery and takeover.

DBOS brings each job to one worker and back to one after a crash; what happens to the job there is the
carrier's matter. The workflow has no steps: beginning an attempt is idempotent by the job's fence, so a
workflow that runs again finds out for itself whether there is anything left to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from dbos import DBOS, DBOSClient

from fluxsmith.core.database import Database
from fluxsmith.core.job_schema import QueueName
from fluxsmith.core.jobs import APPLICATION, APPLICATION_VERSION, WORKFLOW
from fluxsmith.core.logging import get_logger

# How many jobs of a queue one worker carries out at once, and how often it looks for the next.
QUEUES: dict[QueueName, tuple[int, float]] = {"train": (1, 0.25), "generate": (1, 0.06), "io": (4, 0.25)}

_log = get_logger(__name__)


class Executor:
    """One DBOS executor, under the id of its worker; a process has at most one."""

    def __init__(self, db: Database, worker_id: str, carry_out: Callable[[str], None]) -> None:
        self._db = db
        self._worker_id = worker_id
        self._carry_out = carry_out

    def launch(self) -> None:
        """Recover what this worker was doing, and take jobs from the queues from now on."""
        logging.getLogger("dbos").setLevel(logging.WARNING)
        self._register_queues()
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": self._db.url.render_as_string(hide_password=False),
                "application_version": APPLICATION_VERSION,
                "executor_id": self._worker_id,
                "log_level": "WARNING",
                "enable_otlp": False,
            }
        )
        _log_like_everybody_else()

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
        def carry_out(job_id: str) -> None:
            self._carry_out(job_id)

        DBOS.launch()

    def take_over(self, holders: set[str]) -> None:
        """Put back into their queues the jobs of workers that are not among `holders`."""
        for status in DBOS.list_workflows(status="PENDING", load_input=False, load_output=False):
            if status.executor_id not in holders and status.queue_name is not None:
                _log.warning("Taking a job over.", job_id=status.workflow_id, worker=status.executor_id)
                DBOS.resume_workflow(status.workflow_id, queue_name=status.queue_name)

    def stop(self) -> None:
        """Take no more jobs; those that run are not waited for."""
        DBOS.destroy()

    def _register_queues(self) -> None:
        client = DBOSClient(system_database_engine=self._db.engine, application_name=APPLICATION, lazy=True)
        for name, (at_once, poll_s) in QUEUES.items():
            client.register_queue(name, worker_concurrency=at_once, polling_interval_sec=poll_s)
        client.destroy()


def _log_like_everybody_else() -> None:
    """Let DBOS's log lines go where ours go, instead of to a handler of its own."""
    logger = logging.getLogger("dbos")
    logger.handlers.clear()
    logger.propagate = True
