"""The edge itself: ids, names, limits, errors nobody expected, and what starting makes. No worker."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from pathlib import Path

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.tasks.links import ResultFile, ResultLinks, link_key
from fluxsmith.web.app import create_api, create_app
from tests.api.conftest import HERE
from tests.broken import good_zip

START = """
import sys
from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.web.app import create_app
from fastapi.testclient import TestClient
container = ServiceContainer(Settings())
with TestClient(create_app(container), base_url="http://127.0.0.1") as http:
    for path in ("/healthz", "/openapi.json", "/docs", "/"):
        assert http.get(path).status_code == 200, path
print(container.made, "torch" in sys.modules)
"""


def test_starting_makes_no_service_and_imports_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["() False"], done.stderr[-2000:]


def test_every_answer_has_a_request_id_and_keeps_one_that_is_given(http: TestClient) -> None:
    given = {"x-request-id": "my-id.7"}
    assert http.get("/healthz", headers=given).headers["x-request-id"] == "my-id.7"
    assert http.get("/healthz", headers={"x-request-id": "a b\tc" * 40}).headers["x-request-id"].isalnum()
    missing = http.get("/v1/missing")
    assert missing.json()["request_id"] == missing.headers["x-request-id"]


def test_unknown_addresses_and_methods_are_json_also_beside_the_studio(container: ServiceContainer) -> None:
    with TestClient(create_app(container), base_url=HERE) as http:
        for path in ("/v1/flux-pro-9", "/v1/", "/api/nothing", "/files/x"):
            for method in ("GET", "POST", "DELETE"):
                answer = http.request(method, path)
                assert answer.status_code == 404, (method, path)
                assert answer.json()["error"] == "no-such-endpoint"
        assert http.get("/v1/finetune").status_code == 405
        assert http.post("/v1/get_result").json()["error"] == "method-not-allowed"
        assert isinstance(http.get("/nothing").json(), dict)


def test_an_unexpected_error_is_told_by_id_logged_and_never_shown(app: FastAPI) -> None:
    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("secret words")

    client = TestClient(app, base_url=HERE, raise_server_exceptions=False)
    with structlog.testing.capture_logs() as lines, client as http:
        answer = http.get("/broken")
    assert answer.status_code == 500
    assert "secret words" not in answer.text
    assert [line["log_level"] for line in lines if line.get("exc_info")] == ["error"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.json()["request_id"] in answer.json()["hint"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0:7860", "[::", ""])
def test_names_that_are_not_ours_are_refused(http: TestClient, host: str) -> None:
    answer = http.get("/healthz", headers={"host": host})
    assert answer.status_code == 400
    assert "FLUXSMITH_PUBLIC_URL" in answer.json()["hint"]


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "studio.localhost:1"])
def test_our_own_names_are_taken(http: TestClient, host: str) -> None:
    assert http.get("/healthz", headers={"host": host}).status_code == 200


def test_pages_of_other_sites_cannot_send_for_the_visitor(http: TestClient) -> None:
    for origin in ("https://evil.example", "null"):
        answer = http.post("/v1/flux-dev", json={}, headers={"origin": origin})
        assert answer.status_code == 403
    assert http.post("/v1/flux-dev", json={}, headers={"origin": "http://localhost:7860"}).status_code == 200
    assert http.get("/healthz", headers={"origin": "https://evil.example"}).status_code == 200


def test_the_public_address_is_used_in_links_and_as_a_name(tmp_path: Path, models_dir: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, models_dir=models_dir, model="tiny", public_url="https://studio.example.org/flux"
    )
    container = ServiceContainer(settings)
    with TestClient(create_api(container), base_url="http://studio.example.org") as http:
        answer = http.post("/v1/flux-dev", json={"prompt": "x"}).json()
    container.close()
    assert answer["polling_url"] == f"https://studio.example.org/flux/v1/get_result?id={answer['id']}"


def test_bodies_above_the_limit_are_refused_declared_or_not(http: TestClient) -> None:
    def chunks() -> object:
        for _ in range(30):
            yield b"x" * 50_000

    for content in (b"x" * 1_000_001, chunks()):
        answer = http.post("/v1/finetune", content=content, headers={"content-type": "application/json"})  # type: ignore[arg-type]
        assert answer.status_code == 413
        assert answer.json()["message"] == "The request is larger than 1 MB."
        assert answer.headers["x-request-id"]


def test_a_limit_on_active_tasks_counts_all_kinds_and_says_when_to_come_back(
    tmp_path: Path, models_dir: Path
) -> None:
    settings = Settings(data_dir=tmp_path, models_dir=models_dir, model="tiny", max_active_tasks=2)
    container = ServiceContainer(settings)
    finetune = {
        "file_data": base64.b64encode(good_zip(2)).decode(),
        "finetune_comment": "counts",
        "mode": "style",
    }
    with TestClient(create_api(container), base_url=HERE) as http:
        answers = [
            http.post("/v1/flux-dev", json={}),
            http.post("/v1/finetune", json=finetune),
            http.post("/v1/flux-dev", json={}),
            http.post("/v1/finetune", json=finetune),
        ]
        datasets = http.get("/api/datasets").json()
        first = answers[0].json()["id"]
        assert http.post(f"/api/jobs/{first}/cancel").json()["state"] == "cancelled"
        assert http.post("/v1/flux-dev", json={}).status_code == 200
        poll = http.get("/v1/get_result", params={"id": first}).json()
    container.close()
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    left = [answer.headers["X-RateLimit-Remaining"] for answer in answers]
    assert left == ["1", "0", "0", "0"], "every submit tells how many more there may be"
    assert answers[0].headers["X-RateLimit-Limit"] == "2"
    assert int(answers[0].headers["X-RateLimit-Reset"]) <= time.time()
    for refusal in answers[2:]:
        wait_s = int(refusal.headers["retry-after"])
        assert wait_s == refusal.json()["retry_after"] > 0
        assert refusal.json()["detail"] == "2 of your tasks wait or run; the limit is 2."
        limit, remaining, reset = (
            refusal.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")
        )
        assert (limit, remaining) == ("2", "0")
        assert 0 <= int(reset) - time.time() + 1 <= wait_s + 1
    assert len(datasets) == 1, "the pictures of the refused finetune are not kept"
    assert (poll["status"], poll["details"]["code"]) == ("Error", "cancelled")


def test_a_server_without_a_worker_lives_but_is_not_ready(http: TestClient) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    answer = http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["message"] == "No worker lives."


def test_the_page_of_the_api_names_every_address_and_needs_no_network(http: TestClient) -> None:
    page = http.get("/docs").text
    for path in http.get("/openapi.json").json()["paths"]:
        assert f"</b> {path}</h3>" in page
    assert "256" in page
    assert "1440" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_links_end_and_cannot_be_made_by_others(
    container: ServiceContainer, http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ResultLinks(container.settings).path(ResultFile("some-id", 0, "jpeg"))
    assert http.get(path).status_code == 404, "the link is good, but there is no such picture"
    forged = path.replace("/files/", "/files/x")
    assert http.get(forged).json()["error"] == "link-invalid"

    later = time.time() + container.settings.result_ttl_s + 2
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    answer = http.get(path)
    assert (answer.status_code, answer.json()["error"]) == (403, "link-expired")
    assert "600 seconds" in answer.json()["message"]


def test_the_key_of_links_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    key = link_key(settings)
    assert link_key(settings) == key
    assert len(key) >= 48
    assert (tmp_path / "new" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "secret.key"]
