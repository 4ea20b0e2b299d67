"""Fixtures of the tests with other people's clients: a plain server, and one behind a front in TLS."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.clients.front import Front, front_of
from tests.clients.running import PYTHON
from tests.harness import Server

BFL = "api.bfl.ai"

ServeAsBfl = Callable[..., AbstractContextManager[tuple[Server, Front]]]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[str]:
    """A server that draws with the shipped model."""
    server = Server(tmp_path_factory.mktemp("clients"), models_dir, {"FLUXSMITH_MODEL": "nano"}).start()
    yield server.wait_ready().url
    server.stop()


@pytest.fixture
def serve_as_bfl(tmp_path: Path, models_dir: Path) -> ServeAsBfl:
    """Start a server that clients reach as https://api.bfl.ai, and that tells them the name `public`."""

    @contextlib.contextmanager
    def serve(public: str = BFL) -> Iterator[tuple[Server, Front]]:
        variables = {"FLUXSMITH_MODEL": "nano", "FLUXSMITH_PUBLIC_URL": f"https://{public}"}
        server = Server(tmp_path, models_dir, variables).start()
        try:
            server.wait_ready()
            with front_of(server.url, (BFL, public), PYTHON, tmp_path) as front:
                yield server, front
        finally:
            server.stop()

    return serve
