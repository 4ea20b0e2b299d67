"""Jobs: one commit with the row they work on, one end, and no word from an attempt that was overtaken."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fluxsmith.core.database import Database
from fluxsmith.core.jobs import MAX_FRUITLESS_ATTEMPTS, JobContext, JobError, JobQueue
from fluxsmith.errors import LeaseLost, NotFoundError


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/fluxsmith.db")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def jobs(db: Database) -> Iterator[JobQueue]:
    queue = JobQueue(db)
    yield queue
    queue.close()


def enqueue(db: Database, jobs: JobQueue) -> str:
    job_id = str(uuid.uuid4())
    with db.session() as session:
        jobs.enqueue(session, job_id=job_id, owner_id="local", kind="generate", queue="generate")
    return job_id


def begin(jobs: JobQueue, job_id: str, worker: str = "worker-0") -> JobContext:
    context = jobs.begin(job_id, worker)
    assert context is not None
    return context


def in_dbos(db: Database, job_id: str) -> str | None:
    with db.reading() as session:
        status = session.scalar(
            sa.text("SELECT status FROM workflow_status WHERE workflow_uuid = :id"), {"id": job_id}
        )
    return None if status is None else str(status)


def states(jobs: JobQueue, job_id: str) -> list[str]:
    return [event.data["state"] for event in jobs.events(job_id) if event.kind == "state"]


def until(jobs: JobQueue, job_id: str, events: int) -> None:
    deadline = time.monotonic() + 10
    while len(jobs.events(job_id)) < events and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_job_and_its_place_in_the_queue_are_one_commit(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)

    assert jobs.get(job_id).state == "queued"
    assert in_dbos(db, job_id) == "ENQUEUED"


def test_a_commit_that_fails_leaves_neither_job_nor_queue_entry(db: Database, jobs: JobQueue) -> None:
    job_id = str(uuid.uuid4())
    with pytest.raises(ZeroDivisionError), db.session() as session:
        jobs.enqueue(session, job_id=job_id, owner_id="local", kind="generate", queue="generate")
        raise ZeroDivisionError

    with pytest.raises(NotFoundError):
        jobs.get(job_id)
    assert in_dbos(db, job_id) is None


def test_what_is_queued_is_json_and_not_pickle(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)

    with db.reading() as session:
        inputs = session.scalar(
            sa.text("SELECT inputs FROM workflow_input WHERE workflow_uuid = :id"), {"id": job_id}
        )

    assert job_id in str(inputs)


def test_progress_is_seen_while_the_job_runs(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)

    with begin(jobs, job_id) as context:
        context.progress("training", 3, 10, loss=0.5, eta_s=7.0)
        until(jobs, job_id, events=3)
        job = jobs.get(job_id)

    assert (job.state, job.stage, job.step, job.total, job.eta_s) == ("running", "training", 3, 10, 7.0)
    assert job.progress == pytest.approx(0.3)


def test_every_loss_is_kept_and_numbered_in_order(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)

    with begin(jobs, job_id) as context:
        for step in range(1, 501):
            context.progress("training", step, 500, loss=float(step))
        with context.finishing():
            context.event("result", {"answer": 42})

    events = jobs.events(job_id)
    assert [event.seq for event in events] == list(range(1, 505))
    assert [event.data["loss"] for event in events if event.kind == "progress"] == list(range(1, 501))
    assert [event.kind for event in events[-2:]] == ["result", "state"]
    assert jobs.get(job_id).progress == 1.0


def test_events_can_be_read_on_from_any_number(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)
    with begin(jobs, job_id) as context:
        context.message("one")
        context.message("two")
        context.flush()

    assert [event.data for event in jobs.events(job_id, after=3)] == [{"text": "two"}]
    assert [event.seq for event in jobs.events(job_id, limit=2)] == [1, 2]


def test_a_job_ends_only_once(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)
    with begin(jobs, job_id) as context:
        with context.finishing():
            pass
        context.cancel()
        context.fail(JobError(code="late", message="Too late.", hint=""))

    assert jobs.get(job_id).state == "done"
    assert states(jobs, job_id) == ["queued", "running", "done"]
    assert jobs.begin(job_id, "worker-0") is None


def test_a_result_that_cannot_be_written_leaves_the_job_running_and_no_event(
    db: Database, jobs: JobQueue
) -> None:
    job_id = enqueue(db, jobs)
    with begin(jobs, job_id) as context:
        with pytest.raises(ZeroDivisionError), context.finishing():
            context.event("result", {})
            raise ZeroDivisionError
        context.fail(JobError(code="broken", message="It broke.", hint="Try again."))

    job = jobs.get(job_id)
    assert job.state == "failed"
    assert job.error == JobError(code="broken", message="It broke.", hint="Try again.")
    assert "result" not in [event.kind for event in jobs.events(job_id)]


def test_an_attempt_that_was_overtaken_is_refused_everywhere(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)
    with begin(jobs, job_id, "worker-0") as old, begin(jobs, job_id, "worker-1") as new:
        old.message("from the grave")
        with pytest.raises(LeaseLost):
            old.flush()
        with pytest.raises(LeaseLost):
            old.progress("training", 1, 2)
        with pytest.raises(LeaseLost):
            old.cancelled()
        with pytest.raises(LeaseLost), old.finishing() as session:
            session.execute(sa.text("DELETE FROM jobs"))
        with new.finishing():
            new.event("result", {})

    assert states(jobs, job_id) == ["queued", "running", "running", "done"]
    assert [event.kind for event in jobs.events(job_id)].count("message") == 0


def test_an_abandoned_job_is_still_to_be_done(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)
    with begin(jobs, job_id) as context:
        context.progress("training", 5, 10)
        context.abandon()
        with pytest.raises(LeaseLost):
            context.fail(JobError(code="killed", message="The child died.", hint=""))

    assert jobs.get(job_id).state == "running"
    assert jobs.get(job_id).step == 5
    assert jobs.begin(job_id, "worker-1") is not None


def test_a_queued_job_is_cancelled_at_once(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)

    assert jobs.request_cancel(job_id).state == "cancelled"
    assert in_dbos(db, job_id) == "CANCELLED"
    assert jobs.begin(job_id, "worker-0") is None
    assert states(jobs, job_id) == ["queued", "cancelled"]


def test_a_running_job_learns_that_it_is_to_stop(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)
    with begin(jobs, job_id) as context:
        assert not context.cancelled()
        assert jobs.request_cancel(job_id).state == "running"
        context.flush()
        assert context.cancelled()
        context.cancel()

    assert jobs.get(job_id).state == "cancelled"
    assert jobs.get(job_id).error is None


def test_a_cancel_outlives_the_worker_that_should_have_heard_it(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)
    begin(jobs, job_id, "worker-0")
    jobs.request_cancel(job_id)

    assert begin(jobs, job_id, "worker-0").cancelled()


def test_cancelling_what_has_ended_changes_nothing(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)
    with begin(jobs, job_id) as context, context.finishing():
        pass

    assert jobs.request_cancel(job_id).state == "done"


def test_a_job_that_does_not_exist_is_not_found(jobs: JobQueue) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        jobs.request_cancel("nowhere")


def test_a_job_that_ends_its_worker_every_time_is_given_up(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)
    for _ in range(MAX_FRUITLESS_ATTEMPTS):
        begin(jobs, job_id)

    assert jobs.begin(job_id, "worker-0") is None
    job = jobs.get(job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.code == "worker-lost"
    assert str(MAX_FRUITLESS_ATTEMPTS) in job.error.message


def test_a_job_that_gets_on_between_deaths_is_not_given_up(db: Database, jobs: JobQueue) -> None:
    job_id = enqueue(db, jobs)
    for step in range(2 * MAX_FRUITLESS_ATTEMPTS):
        context = begin(jobs, job_id)
        context.progress("training", step, 100)
        context.flush()

    assert jobs.get(job_id).state == "running"
