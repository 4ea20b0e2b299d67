"""Our training against the method of diffusers' FLUX.2 klein LoRA script (see `engine_peer`).

Same weights, pictures, batch 4, rank 16 and size; no live samples on either side. Two measurements,
both interleaved, so that other work on the machine falls on both alike:

- steps: both processes run, warmed, and are let go in turns of a few steps (SIGSTOP, SIGCONT); the
  rate is that of the steps between the first and the last line of each turn, the median over turns.
  The processor time of a step is measured in the same turns; it is what holds on a busy machine.
- whole runs: from the start of the process to the written LoRA file, in turns; with peak memory.

    python -m benchmarks.engine [--model FOLDER] [--steps 100] [--turns 6] [--repeats 2]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from benchmarks.report import compared, publish
from fluxsmith.engine.folder import ModelFolder, read_folder
from fluxsmith.engine.spec import SpecPicture, TrainSpec

NANO = Path(__file__).parent.parent / "src/fluxsmith/models/nano"
PROMPT = "a picture of a TOK apple"
BATCH, RANK, PICTURES = 4, 16, 8
WARM_STEPS = 8
TURN_STEPS = 10
MANY = 100_000


class Runner:
    """One training process, the times of its steps, and in the end its wall time and peak memory."""

    def __init__(self, command: list[str]) -> None:
        self.times: list[float] = []
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def warm(self) -> None:
        """Wait for the first steps, then stand still."""
        while len(self.times) < WARM_STEPS:
            if self._process.poll() is not None:
                raise SystemExit(f"A training process ended early, with status {self._process.returncode}.")
            time.sleep(0.05)
        self._process.send_signal(signal.SIGSTOP)

    def turn(self) -> tuple[float, float]:
        """Run for a few steps; steps per second, and processor seconds per step."""
        first, spent_s = len(self.times), self._processor_s()
        self._process.send_signal(signal.SIGCONT)
        while len(self.times) < first + TURN_STEPS:
            time.sleep(0.01)
        self._process.send_signal(signal.SIGSTOP)
        times = self.times[first + 1 :]
        each_s = (self._processor_s() - spent_s) / (len(self.times) - first)
        return (len(times) - 1) / (times[-1] - times[0]), each_s

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()

    def finish(self) -> tuple[float, float, float]:
        """Wait for its end; wall seconds, peak memory in MB, processor seconds."""
        _, status, usage = os.wait4(self._process.pid, 0)
        wall_s = time.monotonic() - self._started
        if status != 0:
            raise SystemExit(f"A training process failed, with status {status}.")
        self._process.returncode = 0
        peak_mb = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
        return wall_s, peak_mb, usage.ru_utime + usage.ru_stime

    def _processor_s(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("step ") or ('"loss"' in line and json.loads(line).get("loss") is not None):
                self.times.append(time.monotonic())


def ours(folder: ModelFolder, pictures: list[Path], work: Path, steps: int) -> Runner:
    """Our child process, as the local provider starts it."""
    work.mkdir(parents=True)
    spec = TrainSpec(
        model_folder=str(folder.path),
        pictures=tuple(SpecPicture(str(path), PROMPT) for path in pictures),
        trigger_word="TOK",
        steps=steps,
        lora_rank=RANK,
        lora_alpha=float(RANK),
        learning_rate=1e-4,
        batch_size=BATCH,
        resolution=folder.native_side,
        warmup_steps=0,
        caption_dropout=0.0,
        device="cpu",
    )
    (work / "spec.json").write_text(spec.to_json())
    return Runner([sys.executable, "-m", "fluxsmith.engine", str(work)])


def theirs(folder: ModelFolder, pictures: list[Path], work: Path, steps: int) -> Runner:
    """The peer's process."""
    values: dict[str, Any] = {
        "model": folder.path,
        "pictures": pictures[0].parent,
        "out": work,
        "prompt": PROMPT,
        "layers": ",".join(str(layer) for layer in folder.text_encoder_out_layers),
        "steps": steps,
        "side": folder.native_side,
        "batch": BATCH,
        "tokens": folder.max_sequence_length,
    }
    options = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    return Runner([sys.executable, "-m", "benchmarks.engine_peer", *options])


def make_pictures(folder: Path, side: int) -> list[Path]:
    """Pictures of noise: what they show does not change how long a step takes."""
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(PICTURES)]
    for path in paths:
        Image.effect_noise((side, side), 80).convert("RGB").save(path)
    return paths


def main(args: argparse.Namespace) -> None:
    """Measure, print and write."""
    folder = read_folder(Path(args.model))
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        pictures = make_pictures(work / "pictures", folder.native_side)
        runners = [ours(folder, pictures, work / "a", MANY), theirs(folder, pictures, work / "b", MANY)]
        try:
            for runner in runners:
                runner.warm()
            turns = [[runner.turn() for runner in runners] for _ in range(args.turns)]
        finally:
            for runner in runners:
                runner.kill()
        runs = []
        for repeat in range(args.repeats):
            our_run = ours(folder, pictures, work / f"ours-{repeat}", args.steps).finish()
            runs.append((our_run, theirs(folder, pictures, work / f"peer-{repeat}", args.steps).finish()))
    our_rate, peer_rate = (statistics.median(turn[side][0] for turn in turns) for side in (0, 1))
    our_step, peer_step = (1000 * statistics.median(turn[side][1] for turn in turns) for side in (0, 1))
    our_wall, peer_wall = (statistics.median(run[side][0] for run in runs) for side in (0, 1))
    our_peak, peer_peak = (statistics.median(run[side][1] for run in runs) for side in (0, 1))
    our_spent, peer_spent = (statistics.median(run[side][2] for run in runs) for side in (0, 1))
    whole = f"whole run of {args.steps} steps"
    step = f"training step, batch {BATCH}, rank {RANK}, {folder.native_side} px"
    rows = [
        compared(step, our_rate, peer_rate, "steps/s", more_is_better=True, at_least=1.0),
        compared("processor time of a step", our_step, peer_step, "ms", more_is_better=False, at_least=1.0),
        compared(whole, our_wall, peer_wall, "s", more_is_better=False, at_least=1.0),
        compared(f"processor time, {whole}", our_spent, peer_spent, "s", more_is_better=False, at_least=1.0),
        compared("peak memory of the run", our_peak, peer_peak, "MB", more_is_better=False, at_least=1.0),
    ]
    packages = ("torch", "diffusers", "transformers", "peft", "accelerate")
    publish("engine", rows, packages, turns=turns, runs=runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=str(NANO), help="folder of base weights")
    parser.add_argument("--steps", type=int, default=100, help="steps of a whole run")
    parser.add_argument("--turns", type=int, default=6, help="turns of each process")
    parser.add_argument("--repeats", type=int, default=2, help="whole runs of each")
    main(parser.parse_args())
