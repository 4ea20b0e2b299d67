"""What a job, its events and a worker look like to everybody who asks. No behaviour, no SQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
QueueName = Literal["train", "generate", "io"]
WorkerState = Literal["starting", "ready", "failing", "stopped"]

ENDED: frozenset[str] = frozenset({"done", "failed", "cancelled"})


class JobError(BaseModel):
    """Why a job failed, in words for people and a code for programs."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    hint: str


class Job(BaseModel):
    """A unit of background work as it stands now."""

    model_config = ConfigDict(frozen=True)

    id: str
    owner_id: str
    kind: str
    queue: QueueName
    state: JobState
    stage: str
    step: int
    total: int
    eta_s: float | None
    error: JobError | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def progress(self) -> float:
        """How much is done, 0 to 1."""
        if self.state == "done":
            return 1.0
        return min(1.0, self.step / self.total) if self.total > 0 else 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED


class Event(BaseModel):
    """One append-only fact about a job: state, progress, sample, message or result."""

    model_config = ConfigDict(frozen=True)

    seq: int
    at: datetime
    kind: str
    data: dict[str, Any]


class WorkerInfo(BaseModel):
    """A worker process and how it fares; `alive` is judged when asked."""

    model_config = ConfigDict(frozen=True)

    id: str
    pid: int
    host: str
    state: WorkerState
    detail: str
    started_at: datetime
    heartbeat_at: datetime
    alive: bool
