"""Fixtures of the API's tests: a client of the shared server, and applications in the test's process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.web.app import create_api
from tests.api.client import BflClient
from tests.broken import good_zip
from tests.harness import Server

HERE = "http://127.0.0.1:7860"


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[BflClient]:
    """A client of the shared server, with a key."""
    client = BflClient(server.url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def finetune_id(client: BflClient) -> str:
    """A finetune that is done, for all tests to draw with."""
    task = client.finetune(good_zip(), "shared", mode="general", iterations=100, finetune_type="lora")
    return str(client.result(task["polling_url"])["finetune_id"])


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[BflClient]:
    """A client of a server that draws with the shipped model."""
    server = Server(tmp_path_factory.mktemp("nano"), models_dir, {"FLUXSMITH_MODEL": "nano"}).start()
    client = BflClient(server.wait_ready().url)
    yield client
    client.close()
    server.stop()


@pytest.fixture
def container(tmp_path: Path, models_dir: Path) -> Iterator[ServiceContainer]:
    """Services of the test's own, with the tiny model and without a worker."""
    settings = Settings(data_dir=tmp_path / "data", models_dir=models_dir, model="tiny", max_upload_mb=1)
    made = ServiceContainer(settings)
    yield made
    made.close()


@pytest.fixture
def app(container: ServiceContainer) -> FastAPI:
    """The HTTP interfaces over those services."""
    return create_api(container)


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
    """A client in the same process."""
    with TestClient(app, base_url=HERE) as client:
        yield client
