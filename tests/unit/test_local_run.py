"""How the local provider deals with training processes that end in odd ways, shown by scripted ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fluxsmith.errors import Cancelled, CapacityError, EngineError, FluxsmithError, StorageError
from fluxsmith.providers import local_child, local_run
from fluxsmith.providers.local_run import run_training
from tests.engine_runs import Listener
from tests.unit.test_engine_spec import SPEC

KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
Script = Callable[[str], None]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Let these lines of Python stand for the training process; `tell` writes an event."""

    def use(lines: str) -> None:
        whole = (
            "import json, os, pathlib, signal, sys, time\n"
            "run = pathlib.Path(sys.argv[1])\n"
            "def tell(**event): print(json.dumps(event), flush=True)\n"
            f"{lines}\n"
        )
        monkeypatch.setattr(local_child, "command", lambda run: [sys.executable, "-c", whole, str(run)])
        monkeypatch.setattr(local_run, "_AGAIN_AFTER_S", 0.0)

    return use


def failure(tmp_path: Path, listener: Listener | None = None) -> FluxsmithError:
    with pytest.raises(FluxsmithError) as caught:
        run_training(SPEC, tmp_path / "run", listener or Listener())
    return caught.value


def test_kills_without_getting_further_are_given_up(script: Script, tmp_path: Path) -> None:
    script(KILLED)
    listener = Listener()
    error = failure(tmp_path, listener)
    assert isinstance(error, CapacityError)
    assert error.code == "training-killed"
    assert "Lower the batch size" in error.hint
    assert len(listener.messages) == 5


def test_kills_by_the_kernel_for_want_of_memory_are_said_to_be_that(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = iter(range(100))
    monkeypatch.setattr(local_run, "memory_kills", lambda: next(counted))
    script(KILLED)
    listener = Listener()
    error = failure(tmp_path, listener)
    assert error.code == "memory-exhausted"
    assert len(listener.messages) == 2


def test_an_abort_whose_last_words_are_of_memory_is_want_of_memory(script: Script, tmp_path: Path) -> None:
    script("print('std::bad_alloc', file=sys.stderr, flush=True); os.abort()")
    assert failure(tmp_path).code == "memory-exhausted"


def test_a_run_that_gets_further_between_kills_is_not_given_up(script: Script, tmp_path: Path) -> None:
    script(
        "done = len(list(run.glob('checkpoints/*'))) + 1\n"
        "if done > 9: tell(kind='done', lora_path='/lora', facts={'tries': done}); sys.exit(0)\n"
        "(run / f'checkpoints/step-{done:06d}').mkdir(parents=True)\n" + KILLED
    )
    assert run_training(SPEC, tmp_path / "run", Listener()).facts == {"tries": 10}


def test_an_end_without_a_word_is_a_failure_and_its_log_is_not_shown_to_people(
    script: Script, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script("sys.exit('Traceback: /secret/path')")
    error = failure(tmp_path)
    assert isinstance(error, EngineError)
    assert error.code == "training-failed"
    assert "/secret/path" not in str(error)
    assert "/secret/path" in caplog.text


def test_a_failure_arrives_as_the_error_that_it_was(script: Script, tmp_path: Path) -> None:
    script(
        "tell(kind='failed', error='StorageError', code='disk-full', message='No room.', hint='Make some.')"
    )
    error = failure(tmp_path)
    assert type(error) is StorageError
    assert (error.code, error.message, error.hint) == ("disk-full", "No room.", "Make some.")


@pytest.mark.parametrize("name", ["SystemExit", "Cancelled", "LeaseLost", "Path", None])
def test_a_failure_of_an_unknown_kind_is_an_engine_error(
    script: Script, tmp_path: Path, name: str | None
) -> None:
    script(f"tell(kind='failed', error={name!r}, code='odd', message='Odd.', hint='')")
    error = failure(tmp_path)
    assert type(error) is EngineError
    assert error.code == "odd"


def test_torn_and_unknown_lines_are_passed_over(script: Script, tmp_path: Path) -> None:
    script(
        "print('{\"kind\": \"prog'); print('[]'); tell(kind='news'); tell(kind='progress')\n"
        "tell(kind='message', text='Hello.')\n"
        "tell(kind='done', lora_path='/lora', facts={})"
    )
    listener = Listener()
    assert run_training(SPEC, tmp_path / "run", listener).lora_path == Path("/lora")
    assert listener.messages == ["Hello."]


def test_a_child_that_does_not_stop_when_asked_is_killed(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_run, "_CANCEL_GRACE_S", 0.2)
    script("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    listener = Listener()
    listener.asked_to_stop = True
    assert isinstance(failure(tmp_path, listener), Cancelled)


def test_a_child_that_is_asked_to_stop_hears_it(script: Script, tmp_path: Path) -> None:
    script("assert input() == 'cancel'; (run / 'heard').touch(); sys.exit(3)")
    listener = Listener()
    listener.asked_to_stop = True
    assert isinstance(failure(tmp_path, listener), Cancelled)
    assert (tmp_path / "run/heard").exists()
