"""Which workers there are and whether they live. What they do is in `fluxsmith.worker`."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import psutil
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fluxsmith.core.database import Database
from fluxsmith.core.job_schema import WorkerInfo, WorkerState
from fluxsmith.core.tables import WorkerRow

HEARTBEAT_S = 5.0
STALE_AFTER_S = 15.0  # three heartbeats missed
RETURNS_WITHIN_S = 6.0  # a killed worker is started again by its server; it continues its own work
FORGOTTEN_AFTER = timedelta(days=1)
HOST = socket.gethostname()


class WorkerRegistry:
    """The table of workers: each writes its own row, everybody reads all."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def beat(self, worker_id: str, pid: int, state: WorkerState, detail: str, started_at: datetime) -> None:
        """Say that a worker of this host lives, and in which state it is."""
        with self._db.session() as session:
            row = session.get(WorkerRow, worker_id) or WorkerRow(id=worker_id)
            row.pid, row.host, row.state, row.detail = pid, HOST, state, detail
            row.started_at, row.heartbeat_at = started_at, datetime.now(UTC)
            session.add(row)

    def all(self) -> list[WorkerInfo]:
        """Every worker that has been seen lately, dead or alive."""
        with self._db.reading() as session:
            return [_info(row) for row in session.scalars(select(WorkerRow).order_by(WorkerRow.id))]

    def holders(self) -> set[str]:
        """Ids of the workers whose jobs nobody else may take: they live, or may be back in a moment."""
        now = datetime.now(UTC)
        return {
            worker.id
            for worker in self.all()
            if worker.alive
            or (worker.state != "stopped" and (now - worker.heartbeat_at).total_seconds() < RETURNS_WITHIN_S)
        }

    def forget_old(self) -> None:
        """Remove workers that have been gone for a day."""
        with self._db.session() as session:
            _forget(session, datetime.now(UTC) - FORGOTTEN_AFTER)


def _forget(session: Session, before: datetime) -> None:
    session.execute(delete(WorkerRow).where(WorkerRow.heartbeat_at < before))


def _info(row: WorkerRow) -> WorkerInfo:
    age_s = (datetime.now(UTC) - row.heartbeat_at).total_seconds()
    alive = row.state != "stopped" and age_s < STALE_AFTER_S and _may_run(row.host, row.pid)
    return WorkerInfo.model_validate(
        {
            "id": row.id,
            "pid": row.pid,
            "host": row.host,
            "state": row.state,
            "detail": row.detail,
            "started_at": row.started_at,
            "heartbeat_at": row.heartbeat_at,
            "alive": alive,
        }
    )


def _may_run(host: str, pid: int) -> bool:
    """False only if the process is known to be gone: other hosts' processes cannot be seen."""
    return host != HOST or bool(psutil.pid_exists(pid))
