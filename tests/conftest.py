"""Fixtures that every test may use: tiny weights and really started servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fluxsmith.core.database import Database
from tests.clocks import SkippingClock
from tests.fake_bfl import FakeBfl
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


@pytest.fixture
def fake() -> Iterator[FakeBfl]:
    """A scripted BFL at the socket, without a script yet."""
    server = FakeBfl()
    yield server
    server.close()


@pytest.fixture
def clock() -> SkippingClock:
    """A clock on which waiting takes no time."""
    return SkippingClock()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """A database of the test's own, migrated."""
    database = Database(f"sqlite:///{tmp_path}/fluxsmith.db")
    database.migrate()
    yield database
    database.close()
