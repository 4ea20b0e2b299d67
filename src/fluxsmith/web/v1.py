"""BFL's API, at the paths, in the shapes and with the words of its contract.

Generation endpoints come from the table in `contract.endpoints`. Routes are plain functions, so each runs
in a thread of its own and none holds up the others. Any key is taken, and none is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.security import APIKeyHeader

from fluxsmith.container import ServiceContainer
from fluxsmith.contract.answers import (
    AsyncResponse,
    AsyncWebhookResponse,
    DeleteFinetuneResponse,
    ErrorResponse,
    FinetuneDetailResponse,
    FinetuneResponse,
    FinetuneWebhookResponse,
    MyFinetunesResponse,
    ResultResponse,
    StatusResponse,
)
from fluxsmith.contract.base import Notified
from fluxsmith.contract.endpoints import GENERATION_ENDPOINTS, Endpoint
from fluxsmith.contract.inputs import DeleteFinetuneInputs, FinetuneInputs
from fluxsmith.core.actor import Actor
from fluxsmith.tasks import answers
from fluxsmith.web import submissions
from fluxsmith.web.context import Base, CurrentActor, Links, Services
from fluxsmith.web.errors import rate_headers

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": words}
    for status, words in {
        400: "The request is not readable: no JSON, no UTF-8, or under a name that is not this server's.",
        403: "A web page of another site may not send this.",
        404: "There is no such model or finetune.",
        409: "The finetune still trains, did not succeed, or was deleted.",
        413: "The body is too large.",
        422: "A field is wrong, or asks for what the model lacks.",
        429: "Too many tasks wait or run.",
    }.items()
}
_key = APIKeyHeader(name="x-key", scheme_name="APIKeyHeader", auto_error=False)  # shown in /docs

router = APIRouter(prefix="/v1", responses=_ERRORS)
keyed = [Depends(_key)]


@router.get("/get_result", tags=["Utility"], summary="Get Result", operation_id="get_result")
def get_result(
    id: Annotated[str, Query(description="Task id for retrieving result")],
    services: Services,
    actor: CurrentActor,
    links: Links,
    base: Base,
) -> ResultResponse:
    """The state of a task and, when it is ready, its result. Needs no key: the id cannot be guessed."""
    return answers.poll(services, actor, id, links, base)


@router.post("/finetune", tags=["Tasks"], summary="Finetune", operation_id="finetune", dependencies=keyed)
def finetune(
    body: FinetuneInputs, services: Services, actor: CurrentActor, base: Base, response: Response
) -> FinetuneResponse | FinetuneWebhookResponse:
    """Train a LoRA on the pictures of a zip; poll `get_result` with the id, or ask `finetune_details`."""
    started = submissions.submit_finetune(services, actor, body, base)
    _tell_room(services, actor, response)
    polling_url = answers.polling_url(base, started.id)
    if body.webhook_url is None:
        return FinetuneResponse(id=started.id, finetune_id=started.id, polling_url=polling_url)
    return FinetuneWebhookResponse(
        id=started.id,
        finetune_id=started.id,
        polling_url=polling_url,
        status=StatusResponse.pending,
        webhook_url=str(body.webhook_url),
    )


@router.get(
    "/my_finetunes",
    tags=["Utility"],
    summary="My Finetunes",
    operation_id="my_finetunes",
    dependencies=keyed,
)
def my_finetunes(services: Services, actor: CurrentActor) -> MyFinetunesResponse:
    """List all finetune_ids created by the user."""
    return MyFinetunesResponse(finetunes=answers.finetune_ids(services, actor))


@router.get(
    "/finetune_details",
    tags=["Utility"],
    summary="Finetune Details",
    operation_id="finetune_details",
    dependencies=keyed,
)
def finetune_details(
    finetune_id: Annotated[str, Query(description="ID of the fine-tuned model")],
    services: Services,
    actor: CurrentActor,
) -> FinetuneDetailResponse:
    """Every parameter of a finetune but its pictures, and how it fares."""
    details = answers.finetune_details(services, actor, finetune_id)
    return FinetuneDetailResponse(finetune_details=details)


@router.post(
    "/delete_finetune",
    tags=["Utility"],
    summary="Delete Finetune",
    operation_id="delete_finetune",
    dependencies=keyed,
)
def delete_finetune(
    body: DeleteFinetuneInputs, services: Services, actor: CurrentActor
) -> DeleteFinetuneResponse:
    """Delete a finetune and its model; one that still runs is stopped."""
    deleted_id, name = answers.delete_finetune(services, actor, body.finetune_id)
    return DeleteFinetuneResponse(
        status="deleted",
        message=f"The finetune '{name}' was deleted.",
        deleted_finetune_id=deleted_id,
        timestamp=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    )


def _tell_room(services: ServiceContainer, actor: Actor, response: Response) -> None:
    """Say in BFL's headers how many more tasks may be submitted now."""
    room = services.task_limit.room(actor.id)
    response.headers.update(rate_headers(room.active, room.limit))


def _submitter(endpoint: Endpoint) -> Callable[..., AsyncResponse | AsyncWebhookResponse]:
    """The route of one generation endpoint."""

    def submit(
        body: Notified, services: Services, actor: CurrentActor, base: Base, response: Response
    ) -> AsyncResponse | AsyncWebhookResponse:
        generation = submissions.submit_generation(services, actor, endpoint, body, base)
        _tell_room(services, actor, response)
        polling_url = answers.polling_url(base, generation.id)
        if body.webhook_url is None:
            return AsyncResponse(id=generation.id, polling_url=polling_url)
        return AsyncWebhookResponse(
            id=generation.id,
            status=StatusResponse.pending,
            webhook_url=str(body.webhook_url),
            polling_url=polling_url,
        )

    submit.__annotations__["body"] = endpoint.body
    return submit


for _endpoint in GENERATION_ENDPOINTS:
    router.add_api_route(
        _endpoint.path.removeprefix("/v1"),
        _submitter(_endpoint),
        methods=["POST"],
        response_model=AsyncResponse | AsyncWebhookResponse,
        tags=["Tasks"],
        summary=_endpoint.summary,
        operation_id=_endpoint.path.removeprefix("/v1/"),
        dependencies=keyed,
    )
