"""The HTTP API under fifty clients: how long submits and polls take, and how many tasks get through.

Two servers, each really started:

- `fluxsmith serve` with nano, while a finetune trains there and the submitted pictures are drawn. Fifty
  clients (a process of their own, see `api_clients`) submit and poll. The peer is `/healthz` of the same
  process, which does nothing: no service, no database. Measured in two ways: paced, where each client
  sends the three kinds in turn, a request every half second, so that all meet the same load; and at once,
  in turns of one kind, where fifty requests are always on the way and wait for one another.
- the same with an engine that draws nothing (see `null_engine`), and no training: tasks per second from
  submit to the fetched picture.

    python -m benchmarks.api [--clients 50] [--rounds 15] [--turns 3] [--tasks 6]
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image

from benchmarks.report import Row, compared, measured, publish
from benchmarks.served import served

HERE = Path(__file__).resolve().parent
MOST_TIMES = 5
STEPS = 20_000  # more than are trained while we measure
PICTURES = 8
STARTS_WITHIN_S = 120.0
SETTINGS = {"FLUXSMITH_MAX_ACTIVE_TASKS": "10000", "FLUXSMITH_LOG_LEVEL": "warning"}


@dataclass(frozen=True)
class Seen:
    """What the clients saw: seconds in all, answers that were no success, times of requests by kind."""

    seconds: float
    refused: int
    took_ms: dict[str, list[float]]

    def p95_ms(self, kind: str) -> float:
        """The time that 95 of 100 requests of a kind did not exceed."""
        return statistics.quantiles(self.took_ms[kind], n=20)[-1]

    def summary(self) -> dict[str, dict[str, float]]:
        """Numbers of each kind, for the file."""
        return {
            kind: {"requests": len(took), "median_ms": statistics.median(took), "p95_ms": self.p95_ms(kind)}
            for kind, took in self.took_ms.items()
            if took
        }


@dataclass(frozen=True)
class Training:
    """A finetune that runs meanwhile."""

    address: str
    id: str

    def step(self) -> int:
        """How far it is.

        Raises:
            SystemExit: it does not run, so that nothing is measured beside it.
        """
        job = httpx.get(f"{self.address}/api/jobs/{self.id}", timeout=60).json()
        if job["state"] not in ("queued", "running"):
            raise SystemExit(f"The training ended: {job}")
        return int(job["step"]) if job["total"] == STEPS else 0


def clients(address: str, way: str, count: int, rounds: int) -> Seen:
    """Let the clients loose, and wait for them."""
    command = [sys.executable, str(HERE / "api_clients.py"), address, way, str(count), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"The clients failed:\n{done.stderr[-4000:]}")
    return Seen(**json.loads(done.stdout))


def start_training(address: str) -> Training:
    """Begin a long finetune on pictures of noise, and wait for its first steps."""
    files = [("files", (f"{number}.png", _noise(), "image/png")) for number in range(PICTURES)]
    with httpx.Client(base_url=address, timeout=60) as http:
        dataset = _json(http.post("/api/datasets", data={"name": "noise"}, files=files))
        body = {"dataset_id": dataset["id"], "name": "noise", "parameters": {"steps": STEPS}}
        training = Training(address, _json(http.post("/api/finetunes", json=body))["id"])
    deadline = time.monotonic() + STARTS_WITHIN_S
    while training.step() == 0:
        if time.monotonic() > deadline:
            raise SystemExit("The training took no step.")
        time.sleep(0.2)
    return training


def beside_training(args: argparse.Namespace, folder: Path) -> tuple[list[Row], dict[str, Any]]:
    """Rows of submits and polls while a training runs."""
    with served(folder, SETTINGS) as address:
        training = start_training(address)
        psutil.cpu_percent()
        first, began = training.step(), time.monotonic()
        paced = clients(address, "paced", args.clients, args.rounds)
        apart = clients(address, "apart", args.clients, args.turns)
        busy_percent = psutil.cpu_percent()
        rate = (training.step() - first) / (time.monotonic() - began)
    rows = [
        compared(
            f"{kind} p95, {how}",
            seen.p95_ms(kind),
            seen.p95_ms("nothing"),
            "ms",
            more_is_better=False,
            at_least=1 / MOST_TIMES,
        )
        for how, seen in (("paced", paced), ("at once", apart))
        for kind in ("submit", "poll")
    ]
    rows.append(
        measured("requests refused meanwhile", float(paced.refused + apart.refused), "requests", at_most=0)
    )
    rows.append(measured("training meanwhile", rate, "steps/s"))
    rows.append(measured("processors busy meanwhile", busy_percent, "%"))
    return rows, {"paced": paced.summary(), "at once": apart.summary()}


def null_tasks(args: argparse.Namespace, folder: Path) -> tuple[list[Row], dict[str, Any]]:
    """Rows of whole tasks whose pictures cost nothing."""
    command = (sys.executable, str(HERE / "null_engine.py"), "serve")
    with served(folder, SETTINGS, command) as address:
        seen = clients(address, "tasks", args.clients, args.tasks)
    rate = args.clients * args.tasks / seen.seconds
    return [measured("submit to result, null engine", rate, "tasks/s")], {"null": seen.summary()}


def main(args: argparse.Namespace) -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory() as temporary:
        rows, beside = beside_training(args, Path(temporary) / "nano")
        more, null = null_tasks(args, Path(temporary) / "null")
    publish(
        "api",
        [*rows, *more],
        ("fastapi", "uvicorn", "SQLAlchemy", "dbos"),
        clients=args.clients,
        requests={**beside, **null},
    )


def _noise() -> bytes:
    data = io.BytesIO()
    Image.effect_noise((128, 128), 80).convert("RGB").save(data, "PNG")
    return data.getvalue()


def _json(response: httpx.Response) -> Any:
    if response.is_error:
        raise SystemExit(f"{response.url}: {response.status_code} {response.text}")
    return response.json()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=50, help="clients at once")
    parser.add_argument("--rounds", type=int, default=15, help="paced requests of each kind by a client")
    parser.add_argument("--turns", type=int, default=3, help="turns of three requests of each kind, at once")
    parser.add_argument("--tasks", type=int, default=6, help="tasks of a client with the null engine")
    main(parser.parse_args())
