"""Jobs whose processes are killed at random moments, and what must be true of them afterwards."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from fluxsmith.core.actor import LOCAL_OWNER
from fluxsmith.core.jobs import Event, Job
from fluxsmith.providers.base import FinetuneParameters
from fluxsmith.services.datasets import Upload
from fluxsmith.services.finetuning import FinetuneRequest
from fluxsmith.services.inference import GenerationRequest
from tests.harness import Server, picture, until

ME = LOCAL_OWNER
CHECKPOINT_EVERY = 25
CLOCK_S = 6.0


@dataclass
class Kill:
    """One kill: of what, and how far the job was."""

    kind: str
    stage: str
    step: int


@dataclass
class Killed:
    """A job that has been through kills."""

    job: Job
    events: list[Event]
    kills: list[Kill] = field(default_factory=list)

    @property
    def attempts(self) -> int:
        """How often a worker began it."""
        return self.states().count("running")

    def states(self) -> list[str]:
        """The states it went through."""
        return [event.data["state"] for event in self.events if event.kind == "state"]

    def losses(self) -> dict[int, float]:
        """The loss of each step; of the last attempt that told it."""
        told = [event.data for event in self.events if event.kind == "progress" and "loss" in event.data]
        return {data["step"]: data["loss"] for data in told}

    def messages(self) -> list[str]:
        """What was said to people."""
        return [event.data["text"] for event in self.events if event.kind == "message"]

    def assert_done_once(self) -> None:
        """It ended once, well, and its events are numbered without a gap."""
        assert self.job.state == "done", self.job
        ends = [state for state in self.states() if state in {"done", "failed", "cancelled"}]
        assert ends == ["done"]
        assert self.states()[-1] == "done"
        assert self.events[-1].kind == "state"
        assert [event.seq for event in self.events] == list(range(1, len(self.events) + 1))


def start_finetune(server: Server, steps: int) -> str:
    """Begin to train on three pictures; the same in every call but for its id."""
    services = server.services
    uploads = [Upload(f"{number}.png", picture(number)) for number in range(3)]
    dataset = services.datasets.create(ME, "three pictures", uploads)
    request = FinetuneRequest(
        dataset_id=dataset.id,
        name="killed",
        base_model="tiny",
        parameters=FinetuneParameters(
            steps=steps,
            batch_size=1,
            lora_rank=4,
            checkpoint_every=CHECKPOINT_EVERY,
            sample_every=0,
            schedule="cosine",
            seed=7,
        ),
    )
    return services.finetuning.start(ME, request).id


def start_generation(server: Server, steps: int) -> str:
    """Begin to draw; the same pictures in every call."""
    request = GenerationRequest(
        model="tiny", prompt="a red apple", width=64, height=64, seed=11, count=2, steps=steps
    )
    return server.services.inference.generate(ME, request).id


def follow(server: Server, job_id: str, kills: list[Kill] | None = None) -> Killed:
    """Wait for a job's end."""
    jobs = server.services.jobs
    until(lambda: jobs.get(job_id).ended, f"the end of job {job_id} (log: {server.log})", patience_s=600)
    return Killed(jobs.get(job_id), jobs.events(job_id, limit=1_000_000), kills or [])


def kill_at_random(
    server: Server, job_id: str, kinds: list[str], moments: random.Random, apart: int
) -> Killed:
    """Kill one process after another, each at a random moment; stop when the job ends before.

    Args:
        server: whose processes.
        job_id: the job to strike.
        kinds: of the processes to kill, in this order.
        moments: where the moments come from.
        apart: most steps from one kill to the next; a third of the kills strikes by the clock instead,
            wherever the job is then: queued, loading, encoding, saving.
    """
    jobs = server.services.jobs
    kills: list[Kill] = []
    for kind in kinds:
        by_clock = moments.random() < 1 / 3
        target = jobs.get(job_id).step + moments.randint(1, apart)
        deadline = time.monotonic() + moments.uniform(0.0, CLOCK_S)
        until(lambda: _struck(server, job_id, kind, deadline if by_clock else None, target), f"a {kind}")  # noqa: B023
        job = jobs.get(job_id)
        if job.ended:
            break
        if kill(server, kind):
            kills.append(Kill(kind, job.stage, job.step))
    return follow(server, job_id, kills)


def kill(server: Server, kind: str) -> bool:
    """Kill a process; start the server again if it was the web process, whose worker must end itself."""
    orphan = server.find("worker") if kind == "web" else None
    if not server.kill(kind):
        return False
    if kind == "web":
        server.start()
        if orphan is not None:
            until(lambda: orphan not in server.processes(), "the end of the orphaned worker")
    return True


def _struck(server: Server, job_id: str, kind: str, deadline: float | None, target: int) -> bool:
    """Whether the moment of a kill has come, or will never come."""
    job = server.services.jobs.get(job_id)
    if job.ended:
        return True
    come = job.step >= target if deadline is None else time.monotonic() >= deadline
    return come and server.find(kind) is not None
