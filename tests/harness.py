"""A really started `fluxsmith serve`, for tests: its processes, its address, its services, and its end.

Everything is the product's own: the command line, the worker, the training child. Only the weights are
tiny (`tests.tiny`). Processes are killed by their ids, and all of them are gone when a test is over.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from PIL import Image

from fluxsmith.config.env import EnvManager
from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer

ROOT = Path(__file__).parent.parent
PATIENCE_S = 600.0  # for what takes seconds on an idle machine


def until(
    condition: Callable[[], bool], what: str = "it", patience_s: float = PATIENCE_S, every_s: float = 0.02
) -> None:
    """Wait until a condition holds; a test that waits in vain fails with `what`."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} never came within {patience_s:.0f} s")
        time.sleep(every_s)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def picture(number: int = 0, side: int = 64) -> bytes:
    """A small PNG, another one for each number."""
    image = Image.new("RGB", (side, side), (40 + number * 37 % 200, 90, 200 - number * 53 % 180))
    image.paste((250, 240, 40), (side // 4, side // 4, side // 2 + number % 8, side // 2))
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


COMMAND = (sys.executable, "-m", "fluxsmith", "serve")


class Server:
    """One server on its own data folder.

    Args:
        folder: where data and log go; a second server on the same folder continues the first's jobs.
        models_dir: folder with the tiny base model.
        environment: further variables, such as FLUXSMITH_MAX_UPLOAD_MB.
        one_core: keep all processes on one core, so that torch's threads do not wait for each other.
    """

    def __init__(
        self,
        folder: Path,
        models_dir: Path,
        environment: dict[str, str] | None = None,
        one_core: bool = False,
    ) -> None:
        self.data_dir = folder / "data"
        self.log = folder / "server.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._one_core = one_core
        self._variables = {
            "FLUXSMITH_DATA_DIR": str(self.data_dir),
            "FLUXSMITH_PORT": str(self.port),
            "FLUXSMITH_MODELS_DIR": str(models_dir),
            "FLUXSMITH_MODEL": "tiny",
            "FLUXSMITH_DEVICE": "cpu",
            "FLUXSMITH_LOG_FORMAT": "json",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: dict[int, psutil.Process] = {}
        self._container: ServiceContainer | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its processes, for a command of the shell on the same data."""
        return EnvManager().for_child(self._variables)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The web process."""
        assert self._process is not None, "the server was not started"
        return self._process

    @property
    def services(self) -> ServiceContainer:
        """The same services on the same data, in the test's own process; they only ask and enqueue."""
        if self._container is None:
            environ = {key: value for key, value in self._variables.items() if key != "FLUXSMITH_PORT"}
            self._container = ServiceContainer(Settings.load(EnvManager(environ=environ)))
        return self._container

    def start(self) -> Server:
        """Start the web process and return at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                COMMAND,
                cwd=self.log.parent,  # no .env of ours
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self._one_core:
            psutil.Process(self._process.pid).cpu_affinity([self._process.pid % psutil.cpu_count()])
        return self

    def wait_ready(self) -> Server:
        """Wait until the worker lives and has its model."""
        until(self.ready, f"a ready server (log: {self.log})", every_s=0.2)
        return self

    def ready(self) -> bool:
        """Whether the server says that it is ready."""
        assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()[-4000:]}"
        self.processes()
        return self.status("/readyz") == 200

    def status(self, path: str) -> int | None:
        """The status of a GET; None if nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def processes(self) -> list[psutil.Process]:
        """Every process of the server that lives now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            web = psutil.Process(self.process.pid)
            for process in (web, *web.children(recursive=True)):
                self._seen.setdefault(process.pid, process)
        return [process for process in self._seen.values() if _lives(process)]

    def find(self, kind: str) -> psutil.Process | None:
        """The `web`, `worker` or `trainer` process; None if there is none now."""
        words = {"web": "serve", "worker": "worker", "trainer": "fluxsmith.engine"}[kind]
        found = [process for process in self.processes() if words in _command(process)]
        return found[-1] if found else None

    def kill(self, kind: str) -> bool:
        """End a process of that kind with SIGKILL; False if there is none."""
        process = self.find(kind)
        if process is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        if kind == "web":
            self.process.wait()
        return True

    def stop(self) -> None:
        """End the server as Ctrl-C does, and make sure that nothing of it is left."""
        if self._container is not None:
            self._container.close()
            self._container = None
        if self._process is None:
            return
        self.processes()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
