"""A server killed around a training at fal: it is found or followed, and never paid for twice.

The provider runs in a process of its own, which the fake kills with SIGKILL at the worst moments.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxsmith.core.cloud_tasks import CloudTasks
from fluxsmith.core.database import Database
from fluxsmith.errors import APIError, Cancelled
from fluxsmith.providers.base import FinetuneOutcome
from fluxsmith.providers.fal import FalProvider, hosts_at
from tests import fake_host
from tests.clocks import SkippingClock
from tests.clouds import Told
from tests.fake_fal import CANCEL, HISTORY, LORA_PATH, STATUS, TRAINER, FakeFal, running
from tests.fake_host import Exchange, says
from tests.harness import ROOT, until
from tests.unit.test_fal_finetune import training

TRAIN = """
import sys
from pathlib import Path
from fluxsmith.core.database import Database
from tests.clouds import Told
from tests.faults.test_fal_paid_once import at
from tests.unit.test_fal_finetune import training
provider = at(sys.argv[1], Database(sys.argv[2]))
provider.finetune(training(Path(sys.argv[3]), task_id=sys.argv[4]), Told())
"""


def at(url: str, db: Database, clock: SkippingClock | None = None) -> FalProvider:
    hosts = hosts_at(url, "fal-id:fal-secret", clock=clock or SkippingClock())
    return FalProvider(hosts, CloudTasks(db, "fal", 10))


@pytest.fixture
def fal() -> Iterator[FakeFal]:
    server = FakeFal()
    yield server
    server.close()


def train_until_killed(fal: FakeFal, db: Database, folder: Path, path: str) -> str:
    """Train in a process that is killed while it waits for its first answer from `path`."""
    children: list[subprocess.Popen[bytes]] = []

    def kills(exchange: Exchange) -> None:
        until(lambda: bool(children), "the child")
        os.kill(children[0].pid, signal.SIGKILL)
        children[0].wait()
        fake_host.resets(exchange)

    honest, task_id = fal.moves[path], str(uuid.uuid4())
    fal.script(path, kills, *honest)
    url = db.url.render_as_string(hide_password=False)
    children.append(
        subprocess.Popen([sys.executable, "-c", TRAIN, fal.url, url, str(folder), task_id], cwd=ROOT)
    )
    until(lambda: children[0].poll() is not None, "the end of the child")
    assert children[0].returncode == -signal.SIGKILL
    return task_id


def resumed(fal: FakeFal, db: Database, folder: Path, task_id: str) -> FinetuneOutcome:
    provider = at(fal.url, db)
    try:
        return provider.finetune(training(folder, task_id=task_id), Told())
    finally:
        provider.close()


def test_killed_before_the_answer_the_training_is_found_in_the_history(
    fal: FakeFal, db: Database, tmp_path: Path
) -> None:
    task_id = train_until_killed(fal, db, tmp_path, TRAINER)
    fal.script(HISTORY, fal.history())
    assert resumed(fal, db, tmp_path, task_id).facts["request_id"] == "req-1"
    assert len(fal.seen(TRAINER)) == 1


def test_killed_before_the_answer_and_not_found_it_is_not_paid_for_again(
    fal: FakeFal, db: Database, tmp_path: Path
) -> None:
    task_id = train_until_killed(fal, db, tmp_path, TRAINER)
    fal.script(HISTORY, says(200, {"items": []}))
    with pytest.raises(APIError) as caught:
        resumed(fal, db, tmp_path, task_id)
    assert caught.value.code == "task-maybe-charged"
    assert "interrupted" in caught.value.message
    assert len(fal.seen(TRAINER)) == 1


@pytest.mark.parametrize("path", [STATUS, LORA_PATH])
def test_killed_later_the_same_training_is_followed(
    fal: FakeFal, db: Database, tmp_path: Path, path: str
) -> None:
    task_id = train_until_killed(fal, db, tmp_path, path)
    assert resumed(fal, db, tmp_path, task_id).lora_path is not None
    assert len(fal.seen(TRAINER)) == 1


def test_cancelled_while_nobody_was_at_work_fal_is_still_asked_to_stop(
    fal: FakeFal, db: Database, tmp_path: Path
) -> None:
    task_id = train_until_killed(fal, db, tmp_path, STATUS)
    fal.script(STATUS, running())
    clock = SkippingClock()
    provider = at(fal.url, db, clock)
    with pytest.raises(Cancelled):
        provider.finetune(training(tmp_path, task_id=task_id), Told(stop_after_s=0, clock=clock))
    provider.close()
    assert len(fal.seen(CANCEL)) == 1
    assert len(fal.seen(TRAINER)) == 1
