"""Workers that are killed, frozen, told to end, or left alone: no job is lost or done twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from fluxsmith.core.database import Database
from fluxsmith.core.jobs import JobQueue
from fluxsmith.core.tables import EventRow, JobRow
from fluxsmith.errors import ConflictError
from fluxsmith.worker.folder_locks import lock_for_server
from tests.faults.stub_worker import STEPS, loss

STUB = Path(__file__).with_name("stub_worker.py")
PATIENCE_S = 60.0


class House:
    """A data folder, its queue, and the worker processes that a test starts on it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.db = Database(f"sqlite:///{data_dir}/fluxsmith.db")
        self.db.migrate()
        self.jobs = JobQueue(self.db)
        self.processes: list[subprocess.Popen[bytes]] = []

    def worker(self) -> subprocess.Popen[bytes]:
        before = {worker.pid for worker in self.jobs.workers()}
        process = subprocess.Popen(
            [sys.executable, str(STUB), str(self.data_dir), "--supervised"], stdin=subprocess.PIPE
        )
        self.processes.append(process)
        self.until(
            lambda: any(
                worker.pid == process.pid and worker.state == "ready" for worker in self.jobs.workers()
            )
        )
        assert process.pid not in before
        return process

    def count(self) -> str:
        return self._enqueue(str(uuid.uuid4()), "finetune", "train")

    def draw(self, job_id: str | None = None) -> str:
        return self._enqueue(job_id or str(uuid.uuid4()), "generate", "generate")

    def _enqueue(self, job_id: str, kind: str, queue: str) -> str:
        with self.db.session() as session:
            self.jobs.enqueue(session, job_id=job_id, owner_id="local", kind=kind, queue=queue)  # type: ignore[arg-type]
        return job_id

    def holder(self, job_id: str) -> subprocess.Popen[bytes]:
        """The worker that carries a job out."""
        with self.db.reading() as session:
            row = session.get_one(JobRow, job_id)
        pid = next(worker.pid for worker in self.jobs.workers() if worker.id == row.worker_id)
        return next(process for process in self.processes if process.pid == pid)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.01)

    def until_step(self, job_id: str, step: int) -> None:
        self.until(lambda: self.jobs.get(job_id).step >= step)

    def until_ended(self, job_id: str) -> None:
        self.until(lambda: self.jobs.get(job_id).ended)

    def states(self, job_id: str) -> list[str]:
        return [event.data["state"] for event in self.jobs.events(job_id) if event.kind == "state"]

    def attempts_heard(self, job_id: str, after: int) -> set[int]:
        """The attempts that wrote the events after number `after`."""
        query = select(EventRow.fence).where(EventRow.job_id == job_id, EventRow.seq > after)
        with self.db.reading() as session:
            return set(session.scalars(query))

    def assert_counted_once(self, job_id: str) -> None:
        events = self.jobs.events(job_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert self.jobs.get(job_id).state == "done"
        assert self.states(job_id).count("done") == 1
        assert [event.kind for event in events].count("result") == 1
        losses = {event.data["step"]: event.data["loss"] for event in events if event.kind == "progress"}
        assert losses == {step: loss(step) for step in range(1, STEPS + 1)}

    def met_another_attempt(self, job_id: str) -> bool:
        return (self.data_dir / "runs" / job_id / "met another attempt").exists()

    def close(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        self.jobs.close()
        self.db.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_a_worker_killed_again_and_again_still_counts_every_step_once(house: House) -> None:
    moments = random.Random(4)
    job_id = house.count()
    for _ in range(4):
        worker = house.worker()
        time.sleep(moments.uniform(0.2, 1.0))
        worker.kill()
        worker.wait()
    house.worker()

    house.until_ended(job_id)

    house.assert_counted_once(job_id)
    assert house.states(job_id).count("running") >= 2
    assert not house.met_another_attempt(job_id)


def test_another_worker_takes_over_from_one_that_was_killed(house: House) -> None:
    house.worker()
    house.worker()
    job_id = house.count()
    house.until_step(job_id, 10)
    holder = house.holder(job_id)
    holder.kill()
    holder.wait()

    house.until_ended(job_id)

    house.assert_counted_once(job_id)


def test_a_frozen_worker_that_comes_back_late_is_refused(house: House) -> None:
    house.worker()
    house.worker()
    job_id = house.count()
    house.until_step(job_id, 10)
    holder = house.holder(job_id)
    holder.send_signal(signal.SIGSTOP)
    house.until(lambda: house.states(job_id).count("running") == 2)
    house.until(lambda: house.met_another_attempt(job_id))
    overtaken_at = len(house.jobs.events(job_id))
    holder.send_signal(signal.SIGCONT)

    house.until_ended(job_id)

    house.assert_counted_once(job_id)
    assert house.attempts_heard(job_id, after=overtaken_at) == {2}


def test_a_worker_that_is_told_to_end_leaves_its_job_to_the_next(house: House) -> None:
    worker = house.worker()
    job_id = house.count()
    house.until_step(job_id, 10)

    worker.terminate()
    worker.wait(PATIENCE_S)

    assert house.jobs.get(job_id).state == "running"
    assert not house.jobs.worker_ready()
    house.worker()
    house.until_ended(job_id)
    house.assert_counted_once(job_id)


def test_a_worker_without_its_server_ends_itself(house: House) -> None:
    worker = house.worker()
    job_id = house.count()
    house.until_step(job_id, 5)
    assert worker.stdin is not None

    worker.stdin.close()

    worker.wait(PATIENCE_S)
    house.worker()
    house.until_ended(job_id)
    house.assert_counted_once(job_id)


def test_two_workers_share_a_queue_and_do_nothing_twice(house: House) -> None:
    job_ids = [house.draw() for _ in range(30)]
    house.worker()
    house.worker()

    for job_id in job_ids:
        house.until_ended(job_id)

    for job_id in job_ids:
        assert house.states(job_id) == ["queued", "running", "done"]


def test_a_running_job_stops_when_it_is_cancelled(house: House) -> None:
    house.worker()
    job_id = house.count()
    house.until_step(job_id, 5)

    house.jobs.request_cancel(job_id)
    house.until_ended(job_id)

    assert house.states(job_id) == ["queued", "running", "cancelled"]
    assert house.jobs.get(job_id).step < STEPS


def test_a_refusal_is_told_in_its_own_words(house: House) -> None:
    house.worker()
    job_id = house.draw("refuse-" + str(uuid.uuid4())[:20])
    house.until_ended(job_id)

    error = house.jobs.get(job_id).error
    assert error is not None
    assert (error.code, error.message, error.hint) == ("too-much", "That is too much.", "Ask for less.")


def test_an_unexpected_error_names_the_job_and_not_its_cause(house: House) -> None:
    house.worker()
    job_id = house.draw("crash-" + str(uuid.uuid4())[:20])
    house.until_ended(job_id)

    error = house.jobs.get(job_id).error
    assert error is not None
    assert error.code == "internal-error"
    assert job_id in error.message
    assert "secret" not in error.message


def test_a_second_server_on_a_data_folder_is_refused_in_words(tmp_path: Path) -> None:
    lock = lock_for_server(tmp_path)
    with pytest.raises(ConflictError, match="Another fluxsmith server is using the data folder"):
        lock_for_server(tmp_path)
    lock.release()
    lock_for_server(tmp_path).release()
