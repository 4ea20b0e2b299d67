"""A disk that fills in the middle of training: told in words, nothing lost, all well once there is room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.faults.killing import ME, follow, start_finetune, start_generation
from tests.harness import until

SIZE_MB = 48
ENDLESS = 20_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; only root can make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("needs a user who may mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room at all."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    assert shutil.disk_usage(disk).free < 4096
    return filler


def test_a_disk_that_fills_during_training_fails_the_job_in_words_and_loses_nothing(
    start_server: StartServer, small_disk: Path
) -> None:
    server = start_server(small_disk, one_core=True).wait_ready()
    services = server.services
    before = follow(server, start_generation(server, 2))
    job_id = start_finetune(server, ENDLESS)
    until(lambda: services.jobs.get(job_id).step > 30, "step 30")

    filler = fill(small_disk)
    until(lambda: not (server.data_dir / "runs" / job_id).exists(), "the end of the training")
    filler.unlink()

    failed = follow(server, job_id).job
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error.code == "disk-full"
    assert failed.error.hint
    assert services.inference.output(ME, before.job.id, 0).is_file()
    follow(server, start_generation(server, 2)).assert_done_once()
