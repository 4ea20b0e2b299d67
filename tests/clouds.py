"""What tests of the cloud provider are arranged with: a provider at a fake, a reporter, and tasks."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from fluxsmith.container import ServiceContainer
from fluxsmith.core.api_cache import DatabaseCache
from fluxsmith.core.api_service import APIService, Limits
from fluxsmith.core.cloud_tasks import CloudTasks
from fluxsmith.core.database import Database
from fluxsmith.core.job_rows import add
from fluxsmith.providers.base import GenerationTask
from fluxsmith.providers.bfl import BFL_HOUSE, BflProvider
from tests.clocks import SkippingClock

KEY = "bfl_0123456789abcdef"
SHORT = Limits(connect_s=1.0, read_s=0.3, total_s=0.5)
KLEIN = "bfl/flux-2-klein-4b"


class Told:
    """A reporter that keeps what it is told, and can be asked to stop."""

    def __init__(self, stop_after_s: float | None = None, clock: SkippingClock | None = None) -> None:
        self.steps: list[int] = []
        self.stages: list[str] = []
        self.messages: list[str] = []
        self._stop_after_s = stop_after_s
        self._clock = clock

    def progress(self, stage: str, step: int, total: int, **more: float | None) -> None:
        self.stages.append(stage)
        self.steps.append(step)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def sample(self, step: int, prompt: str, png: Path) -> None:
        raise AssertionError("the cloud sends no live samples")

    def cancelled(self) -> bool:
        if self._clock is None or self._stop_after_s is None:
            return False
        return self._clock.waited_s >= self._stop_after_s


def provider_at(
    url: str,
    db: Database,
    clock: SkippingClock,
    most_in_flight: int = 24,
    limits: Limits | None = None,
    cached: bool = False,
) -> BflProvider:
    """A provider for one address; `SHORT` limits are for moves that hang."""
    api = APIService(
        url,
        KEY,
        family=BFL_HOUSE,
        clock=clock,
        limits=limits,
        uniform=lambda low, high: high,
        cache=DatabaseCache(db) if cached else None,
    )
    return BflProvider(api, CloudTasks(db, "bfl", most_in_flight))


def drawing(task_id: str | None = None, **changes: Any) -> GenerationTask:
    """A request for one picture."""
    values: dict[str, Any] = {
        "id": task_id or str(uuid.uuid4()),
        "base_model": KLEIN,
        "prompt": "a cup",
        "width": 64,
        "height": 64,
        "seed": 7,
    }
    return GenerationTask(**{**values, **changes})


def running_job(db: Database) -> str:
    """The id of a job that has not ended."""
    job_id = str(uuid.uuid4())
    with db.session() as session:
        add(session, job_id, "local", "generate", "io")
    return job_id


def carry_out(services: ServiceContainer, job_id: str) -> None:
    """What a worker does with a job."""
    kind = services.jobs.get(job_id).kind
    context = services.jobs.begin(job_id, "a worker")
    assert context is not None
    with context:
        (services.inference.carry_out if kind == "generate" else services.finetuning.carry_out)(context)
