"""A server killed around a paid request: what was accepted is followed, what is unsure is never repeated.

The provider runs in a process of its own, which the fake kills with SIGKILL at the worst moments.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid

import pytest

from fluxsmith.core.cloud_tasks import CloudTasks
from fluxsmith.core.database import Database
from fluxsmith.errors import APIError, Cancelled
from tests import fake_bfl
from tests.clocks import SkippingClock
from tests.clouds import SHORT, Told, drawing, provider_at
from tests.fake_bfl import Exchange, FakeBfl, Move, accepts, image, pending, ready, says, sends
from tests.harness import ROOT, until

SUBMIT, POLL, PICTURE = "/v1/flux-2-klein-4b", "/v1/get_result", "/pictures/1"
DRAW = """
import sys
from fluxsmith.core.database import Database
from tests.clocks import SkippingClock
from tests.clouds import SHORT, Told, drawing, provider_at
provider = provider_at(sys.argv[1], Database(sys.argv[2]), SkippingClock())
provider.generate(drawing(sys.argv[3], count=int(sys.argv[4])), Told())
"""


@pytest.fixture
def fake(fake: FakeBfl) -> FakeBfl:
    """The fake, with a script in which all goes well."""
    fake.script(SUBMIT, accepts())
    fake.script(POLL, ready())
    fake.script(PICTURE, sends(image(), "image/png"))
    return fake


class Child:
    """A process that draws, and can be killed from the moves of the fake."""

    def __init__(self, fake: FakeBfl, db: Database, task_id: str, count: int = 1) -> None:
        url = db.url.render_as_string(hide_password=False)
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRAW, fake.url, url, task_id, str(count)], cwd=ROOT
        )

    def wait_killed(self) -> None:
        until(lambda: self.process.poll() is not None, "the end of the child")
        assert self.process.returncode == -signal.SIGKILL


def kills(children: list[Child], then: Move | None = None) -> Move:
    """Kill the child with SIGKILL while it waits for this answer."""

    def move(exchange: Exchange) -> None:
        until(lambda: bool(children), "the child")
        os.kill(children[0].process.pid, signal.SIGKILL)
        children[0].process.wait()
        (then or fake_bfl.resets)(exchange)

    return move


def draw_until_killed(
    fake: FakeBfl, db: Database, task_id: str, children: list[Child], count: int = 1
) -> None:
    children.append(Child(fake, db, task_id, count))
    children[0].wait_killed()


def test_killed_between_request_and_answer_the_request_is_not_sent_again_and_people_learn_why(
    fake: FakeBfl, db: Database
) -> None:
    children: list[Child] = []
    fake.script(SUBMIT, kills(children), accepts())
    task_id = str(uuid.uuid4())
    draw_until_killed(fake, db, task_id, children)
    assert len(fake.seen(SUBMIT)) == 1

    resumed = provider_at(fake.url, db, SkippingClock())
    with pytest.raises(APIError) as caught:
        resumed.generate(drawing(task_id), Told())

    assert caught.value.code == "task-maybe-charged"
    assert "this server was interrupted before it came. It may have been charged." in caught.value.message
    assert "usage page" in caught.value.hint
    assert len(fake.seen(SUBMIT)) == 1
    resumed.close()


def test_killed_after_the_answer_the_task_is_polled_on(fake: FakeBfl, db: Database) -> None:
    children: list[Child] = []
    fake.script(POLL, kills(children), pending(0.5), ready())
    task_id = str(uuid.uuid4())
    draw_until_killed(fake, db, task_id, children)

    resumed = provider_at(fake.url, db, SkippingClock())

    assert len(resumed.generate(drawing(task_id), Told())) == 1
    assert len(fake.seen(SUBMIT)) == 1
    resumed.close()


def test_killed_while_fetching_the_picture_it_is_fetched_again(fake: FakeBfl, db: Database) -> None:
    children: list[Child] = []
    fake.script(PICTURE, kills(children), sends(image(), "image/png"))
    task_id = str(uuid.uuid4())
    draw_until_killed(fake, db, task_id, children)

    resumed = provider_at(fake.url, db, SkippingClock())

    assert len(resumed.generate(drawing(task_id), Told())) == 1
    assert len(fake.seen(SUBMIT)) == 1
    resumed.close()


def test_killed_in_the_middle_of_several_only_what_was_never_sent_is_left_out(
    fake: FakeBfl, db: Database
) -> None:
    children: list[Child] = []
    fake.script(SUBMIT, accepts("task-1"), accepts("task-2"), kills(children), accepts("task-4"))
    task_id = str(uuid.uuid4())
    draw_until_killed(fake, db, task_id, children, count=4)
    told = Told()

    resumed = provider_at(fake.url, db, SkippingClock())
    pictures = resumed.generate(drawing(task_id, count=4), told)

    assert len(pictures) == 2
    assert "2 of 4 pictures were drawn" in told.messages[0]
    assert "may have been charged" in told.messages[0]
    assert len(fake.seen(SUBMIT)) == 3
    resumed.close()


@pytest.mark.parametrize(
    "move",
    [
        fake_bfl.resets,
        fake_bfl.hangs,
        fake_bfl.slow_headers,
        fake_bfl.cuts_off(b'{"id": "task-1", "polling_url": null}'),
        fake_bfl.damaged_gzip,
        fake_bfl.HTML,
        fake_bfl.TEN_MEGABYTES,
        says(200, {"task": "task-1"}),
        says(500, {"detail": "Internal Server Error"}),
        says(502, {}),
        says(503, {}),
        says(504, {}),
    ],
)
def test_an_answer_that_is_lost_on_the_way_is_said_and_the_request_not_repeated(
    fake: FakeBfl, db: Database, move: Move
) -> None:
    fake.script(SUBMIT, move)
    limits = SHORT if move in (fake_bfl.hangs, fake_bfl.slow_headers) else None
    provider, task_id = provider_at(fake.url, db, SkippingClock(), limits=limits), str(uuid.uuid4())

    for _ in range(2):  # the second time as after a crash: the job begins again
        with pytest.raises(APIError) as caught:
            provider.generate(drawing(task_id), Told())
        assert caught.value.code == "task-maybe-charged"
        assert "It may have been charged" in caught.value.message

    assert len(fake.seen(SUBMIT)) == 1
    provider.close()


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 409, 422])
def test_a_request_that_was_refused_may_be_sent_again(fake: FakeBfl, db: Database, code: int) -> None:
    fake.script(SUBMIT, says(code, {"detail": "no"}), accepts())
    provider, task_id = provider_at(fake.url, db, SkippingClock()), str(uuid.uuid4())
    with pytest.raises(APIError):
        provider.generate(drawing(task_id), Told())

    assert len(provider.generate(drawing(task_id), Told())) == 1
    provider.close()


def test_a_cancel_before_anything_was_accepted_leaves_nothing_unsure(fake: FakeBfl, db: Database) -> None:
    clock = SkippingClock()
    fake.script(SUBMIT, says(429, {}, {"retry-after": "60"}), accepts())
    provider, task_id = provider_at(fake.url, db, clock), str(uuid.uuid4())
    with pytest.raises(Cancelled):
        provider.generate(drawing(task_id), Told(stop_after_s=2, clock=clock))

    assert len(provider.generate(drawing(task_id), Told())) == 1
    provider.close()


def test_two_attempts_at_one_job_send_its_request_once(db: Database) -> None:
    ledger, task_id = CloudTasks(db, "bfl", 24), str(uuid.uuid4())

    attempts = [ledger.intend(task_id, 0, SUBMIT) for _ in range(3)]

    assert [attempt.ours for attempt in attempts if attempt is not None] == [True, False, False]
