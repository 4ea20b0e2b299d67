"""Whether the server lives, and whether it can do its work."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from fluxsmith.core.jobs import WorkerInfo
from fluxsmith.errors import FluxsmithError
from fluxsmith.web.context import Services

router = APIRouter(tags=["Health"])


@router.get("/healthz", summary="Whether the server lives")
def healthz() -> dict[str, str]:
    """Always ok if it answers; asks nobody."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Whether the server can do its work",
    responses={503: {"description": "No worker is ready; the message says why."}},
)
def readyz(services: Services) -> JSONResponse:
    """Ready when a worker lives and its model is loaded."""
    try:
        workers = services.jobs.workers()
    except FluxsmithError as error:
        return _not_ready(str(error), [])
    if any(worker.alive and worker.state == "ready" for worker in workers):
        return JSONResponse({"status": "ready", "message": "A worker is ready."})
    return _not_ready(_reason(workers), workers)


def _reason(workers: list[WorkerInfo]) -> str:
    alive = [worker for worker in workers if worker.alive]
    if not alive:
        return "No worker lives."
    failing = next((worker for worker in alive if worker.state == "failing"), None)
    if failing is not None:
        return f"The worker cannot load its model: {failing.detail}"
    return "The worker is still loading its model."


def _not_ready(message: str, workers: list[WorkerInfo]) -> JSONResponse:
    body: dict[str, Any] = {
        "status": "not ready",
        "message": message,
        "detail": message,
        "workers": [
            {"id": worker.id, "state": worker.state, "alive": worker.alive, "detail": worker.detail}
            for worker in workers
        ],
    }
    return JSONResponse(body, status_code=503, headers={"retry-after": "2"})
