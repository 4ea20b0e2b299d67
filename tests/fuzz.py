"""Schemathesis over the whole API: no answer of 500 and above, none that breaks our own OpenAPI.

`python -m tests.fuzz [CASES]` sends at least that many requests, half of them wrong on purpose, to a server
on loopback in this process, and prints how many there were. Ids that Schemathesis cannot guess are put into
every other request, so that more than 404s come back. Of a worker there is only the heartbeat: nothing is
drawn or sent.
"""

from __future__ import annotations

import base64
import itertools
import os
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fluxsmith.config.settings import Settings
from fluxsmith.container import ServiceContainer
from fluxsmith.core.logging import configure_logging
from fluxsmith.core.workers import HEARTBEAT_S, WorkerRegistry
from fluxsmith.web.app import create_api
from tests.broken import good_zip, picture
from tests.harness import free_port, until

AnyCase = Case[Any]
CASES = 10_000
PER_ROUND = 60
MOST_ACTIVE = 40  # fewer than one round asks for, so that refusals come too
MOST_SHOWN = 20
MOST_CHARACTERS = 1500
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@dataclass
class Report:
    """What came of the requests so far."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        return self.statuses.total()

    def lines(self) -> Iterator[str]:
        yield f"{self.cases:,} cases: " + ", ".join(
            f"{count:,} × {status}" for status, count in sorted(self.statuses.items())
        )
        errors = sum(count for status, count in self.statuses.items() if status >= 500)
        yield f"{errors} answers of 500 and above, {len(self.faults)} kinds of answers that break the schema"
        for place, words in itertools.islice(self.faults.items(), MOST_SHOWN):
            yield f"\n{place}\n{words}"


class Known:
    """Things that exist, by the names of the fields that ask for them."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._choose = random.Random(6)
        zipped = base64.b64encode(good_zip(2)).decode()
        self._finetune = {"file_data": zipped, "finetune_comment": "fuzz", "mode": "general"}

    def put_into(self, case: AnyCase) -> None:
        """Let a request ask for what exists, wherever it can."""
        for part in (case.path_parameters, case.query, case.body):
            if isinstance(part, dict):
                for name in set(part) & {"file_data"}:
                    part[name] = self._finetune["file_data"]
                for name in set(part) & set(self.values):
                    part[name] = self._choose.choice(self.values[name])

    def renew(self) -> None:
        """Make everything anew, since requests delete; what waits is cancelled, so that nothing is full."""
        for job in [task["job"] for task in self._get("/api/generations") + self._get("/api/finetunes")]:
            if job["state"] == "queued":
                self._http.post(f"/api/jobs/{job['id']}/cancel").raise_for_status()
        told = {"prompt": "x", "webhook_url": "https://example.org/hook"}
        finetune = self._post("/v1/finetune", json=self._finetune)["id"]
        generation = self._post("/v1/flux-dev", json=told)["id"]
        self._post(f"/api/jobs/{finetune}/cancel")
        self._post(f"/api/jobs/{generation}/cancel")
        dataset = self._post("/api/datasets", data={"name": "fuzz"}, files=[("files", ("a.png", picture()))])
        webhook = self._get("/api/webhooks")[0]["id"]
        self.values: dict[str, list[Any]] = {
            "job_id": [finetune, generation],
            "id": [finetune, generation],
            "finetune_id": [finetune],
            "generation_id": [generation],
            "dataset_id": [dataset["id"]],
            "image_id": [dataset["images"][0]["id"]],
            "model_id": ["nano", finetune],
            "model": ["nano", finetune],
            "base_model": ["nano"],
            "webhook_id": [webhook],
        }

    def _get(self, path: str) -> list[Any]:
        return list(self._http.get(path).raise_for_status().json())

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return dict(self._http.post(path, **body).raise_for_status().json())


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server on a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="fluxsmith-fuzz-") as folder:
        settings = Settings(data_dir=Path(folder), max_active_tasks=MOST_ACTIVE, log_level="error")
        configure_logging(settings)
        container = ServiceContainer(settings)
        config = uvicorn.Config(create_api(container), port=free_port(), log_level="critical")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until(lambda: server.started, "the server")
        stop = threading.Event()
        heart = threading.Thread(target=_beat, args=(WorkerRegistry(container.db), stop), daemon=True)
        heart.start()
        yield f"http://127.0.0.1:{config.port}"
        stop.set()
        heart.join()
        server.should_exit = True
        thread.join()
        container.close()


def _beat(registry: WorkerRegistry, stop: threading.Event) -> None:
    began = datetime.now(UTC)
    while True:
        registry.beat("fuzz", os.getpid(), "ready", "", began)
        if stop.wait(HEARTBEAT_S):
            return


def fuzz(cases: int) -> Report:
    """Send at least that many requests, all operations in turn, round after round."""
    report = Report()
    with serving() as url, httpx.Client(base_url=url, timeout=60) as http:
        known = Known(http)
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        rounds = itertools.count()
        while report.cases < cases:
            number = next(rounds)
            for operation in operations:
                known.renew()
                for mode in GenerationMode:
                    strategy = operation.as_strategy(generation_mode=mode)
                    _send_all(strategy, number, lambda case: _send(case, known, report))
    return report


def _send_all(strategy: Any, number: int, send: Callable[[AnyCase], None]) -> None:
    @hypothesis.seed(number)
    @hypothesis.settings(
        max_examples=PER_ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def every(case: AnyCase) -> None:
        send(case)

    try:
        every()
    except hypothesis.errors.Unsatisfiable:
        return  # an operation that takes nothing cannot be asked wrongly


def _send(case: AnyCase, known: Known, report: Report) -> None:
    if report.cases % 2:
        known.put_into(case)
    answer = case.call()
    report.statuses[answer.status_code] += 1
    try:
        case.validate_response(answer, checks=CHECKS)
    except FailureGroup as fault:
        place = f"{case.method} {case.path} answered {answer.status_code}"
        report.faults.setdefault(place, f"{fault}"[:MOST_CHARACTERS])


if __name__ == "__main__":
    outcome = fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else CASES)
    print("\n".join(outcome.lines()))
    sys.exit(bool(outcome.faults))
