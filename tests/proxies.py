"""A running proxy in the test's process, and what it has recorded."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import httpx
import uvicorn

from fluxsmith.proxy import Exchange, Keep, Recorder, create_proxy, read_recording
from fluxsmith.proxy.masking import Secrets
from tests.harness import until


class RunningProxy:
    """A proxy at the socket, with a client of it."""

    def __init__(self, to: str, file: Path, keep: Keep | None = None, known: tuple[str, ...] = ()) -> None:
        self.file = file
        self.recorder = Recorder(file, keep, Secrets(known))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(create_proxy(to, self.recorder), log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        until(lambda: self._server.started, "a started proxy", patience_s=60)
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def recorded(self, count: int) -> list[Exchange]:
        """The exchanges of the file, once there are so many."""
        until(lambda: self.recorder.count >= count, f"{count} exchanges", patience_s=60)
        return read_recording(self.file)

    def close(self) -> None:
        """End it."""
        self.client.close()
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()
        self.recorder.close()
