"""Fixtures that every test may use: tiny weights and really started servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import Server
from tests.tiny import build_tiny_model

StartServer = Callable[..., Server]


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one base model, `tiny`: random weights, 64 px, two steps."""
    folder = tmp_path_factory.mktemp("models")
    build_tiny_model(folder / "tiny")
    return folder


@pytest.fixture
def start_server(tmp_path: Path, models_dir: Path) -> Iterator[StartServer]:
    """Start a server of the test's own; keywords are those of `Server`."""
    started: list[Server] = []

    def start(folder: Path = tmp_path, **options: object) -> Server:
        server = Server(folder, models_dir, **options)  # type: ignore[arg-type]
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    """One ready server that all tests share; leave it as you would like to find it."""
    shared = Server(tmp_path_factory.mktemp("server"), models_dir).start()
    yield shared.wait_ready()
    shared.stop()
