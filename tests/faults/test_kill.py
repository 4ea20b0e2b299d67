"""`kill -9` of every process of a running server, at random moments: nothing is lost, nothing is doubled.

The short tests kill each kind once. Those marked `chaos` (`make chaos`) kill each kind ten times in the
life of finetunes and of generations, and print when they struck.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from safetensors.numpy import load_file

from tests.conftest import StartServer
from tests.faults.killing import (
    CHECKPOINT_EVERY,
    ME,
    Killed,
    follow,
    kill,
    kill_at_random,
    start_finetune,
    start_generation,
)
from tests.harness import Server, until

KILLS = 10
SHORT_STEPS, LONG_STEPS = 300, 1_000
DRAW_STEPS = 100


@pytest.fixture
def house(start_server: StartServer) -> Server:
    return start_server(one_core=True).wait_ready()


def test_a_finetune_survives_a_kill_of_each_process_and_ends_as_if_nothing_had_been(house: Server) -> None:
    whole = undisturbed(house, SHORT_STEPS)
    job_id = start_finetune(house, SHORT_STEPS)
    for number, kind in enumerate(["trainer", "worker", "web"], start=1):
        until_step(house, job_id, number * 2 * CHECKPOINT_EVERY)
        assert kill(house, kind)
        until_it_goes_on(house, job_id, number)

    killed = follow(house, job_id)

    assert_as_if_nothing_had_been(house, killed, whole)
    assert killed.attempts == 3


def test_a_generation_survives_kills_of_the_worker_and_the_server(house: Server) -> None:
    whole = follow(house, start_generation(house, DRAW_STEPS))
    for kind in ("worker", "web"):
        job_id = start_generation(house, DRAW_STEPS)
        until_running(house, job_id)
        assert kill(house, kind)

        killed = follow(house, job_id)

        killed.assert_done_once()
        assert pictures(house, job_id) == pictures(house, whole.job.id)


@pytest.mark.chaos
@pytest.mark.parametrize("kind", ["trainer", "worker", "web"])
def test_a_finetune_survives_ten_kills(house: Server, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = undisturbed(house, LONG_STEPS)
    moments = random.Random(f"finetune {kind}")
    left = KILLS
    while left:
        job_id = start_finetune(house, LONG_STEPS)
        killed = kill_at_random(house, job_id, [kind] * left, moments, apart=LONG_STEPS // 6)
        assert_as_if_nothing_had_been(house, killed, whole)
        left -= len(killed.kills)
        tell(capsys, "finetune", killed)


@pytest.mark.chaos
@pytest.mark.parametrize("kind", ["worker", "web"])
def test_a_generation_survives_ten_kills(
    house: Server, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = follow(house, start_generation(house, DRAW_STEPS))
    moments = random.Random(f"generation {kind}")
    left = KILLS
    while left:
        job_id = start_generation(house, DRAW_STEPS)
        killed = kill_at_random(house, job_id, [kind], moments, apart=DRAW_STEPS)
        killed.assert_done_once()
        assert pictures(house, job_id) == pictures(house, whole.job.id)
        left -= len(killed.kills)
        tell(capsys, "generation", killed)


@dataclass(frozen=True)
class Undisturbed:
    """What a finetune comes to when nobody disturbs it."""

    losses: dict[int, float]
    lora: dict[str, bytes]


_UNDISTURBED: dict[int, Undisturbed] = {}
"""By the number of steps: the same on every server, so one run of each is enough."""


def undisturbed(house: Server, steps: int) -> Undisturbed:
    if steps not in _UNDISTURBED:
        whole = follow(house, start_finetune(house, steps))
        whole.assert_done_once()
        assert sorted(whole.losses()) == list(range(1, steps + 1))
        _UNDISTURBED[steps] = Undisturbed(whole.losses(), lora(house, whole))
    return _UNDISTURBED[steps]


def assert_as_if_nothing_had_been(house: Server, killed: Killed, whole: Undisturbed) -> None:
    killed.assert_done_once()
    assert killed.losses() == whole.losses
    assert lora(house, killed) == whole.lora
    assert [model.id for model in house.services.models.list(ME)].count(killed.job.id) == 1
    assert not (house.data_dir / "runs" / killed.job.id).exists()


def lora(house: Server, finetune: Killed) -> dict[str, bytes]:
    """What was trained, bit by bit."""
    tensors = load_file(house.services.models.file(ME, finetune.job.id))
    return {name: tensor.tobytes() for name, tensor in tensors.items()}


def pictures(house: Server, generation_id: str) -> list[bytes]:
    inference = house.services.inference
    count = len(inference.get(ME, generation_id).outputs)
    return [inference.output(ME, generation_id, index).read_bytes() for index in range(count)]


def until_running(house: Server, job_id: str) -> None:
    until(lambda: house.services.jobs.get(job_id).state == "running", "the beginning")


def until_step(house: Server, job_id: str, step: int) -> None:
    until(lambda: house.services.jobs.get(job_id).step > step, f"step {step}")


def until_it_goes_on(house: Server, job_id: str, times: int) -> None:
    """Wait until so many attempts have said that they go on from a checkpoint."""

    def said() -> int:
        events = house.services.jobs.events(job_id)
        return sum(event.kind == "message" and "goes on from step" in event.data["text"] for event in events)

    until(lambda: said() >= times, f"attempt {times + 1} of the training")


def tell(capsys: pytest.CaptureFixture[str], what: str, killed: Killed) -> None:
    with capsys.disabled():
        moments = ", ".join(f"{kill.stage or 'queued'} {kill.step}" for kill in killed.kills)
        kinds = {kill.kind for kill in killed.kills}
        print(
            f"\n{what} {killed.job.id[:8]}: {len(killed.kills)} kills of {'/'.join(kinds) or 'nothing'} "
            f"at {moments or '-'}; {killed.attempts} attempts of a worker; {killed.states()[-1]} once"
        )
