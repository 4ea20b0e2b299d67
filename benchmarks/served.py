"""A started server of our own for a benchmark: its process, its address, its end.

Its data lie in a folder of their own, which is also where it runs, so that no `.env` of ours is read.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from fluxsmith.config.env import EnvManager

SERVE = (sys.executable, "-m", "fluxsmith", "serve")
STARTS_WITHIN_S = 300.0  # a model is loaded, maybe on a busy machine
ENDS_WITHIN_S = 20.0


@contextlib.contextmanager
def served(folder: Path, settings: dict[str, str], command: Sequence[str] = SERVE) -> Iterator[str]:
    """A ready server for the block; its address.

    Args:
        folder: for its data and its log; made here.
        settings: variables such as FLUXSMITH_MAX_ACTIVE_TASKS.
        command: what to start.
    """
    folder.mkdir(parents=True)
    port = _free_port()
    variables = {
        "FLUXSMITH_DATA_DIR": str(folder / "data"),
        "FLUXSMITH_PORT": str(port),
        "FLUXSMITH_DEVICE": "cpu",
        **settings,
    }
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=EnvManager().for_child(variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_ready(address, process, folder / "server.log")
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()  # its worker ends with it
            process.wait()


def _wait_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"The server ended:\n{log.read_text()[-4000:]}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"The server was not ready within {STARTS_WITHIN_S:.0f} s:\n{log.read_text()[-4000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
