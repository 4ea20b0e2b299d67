"""Webhooks on our own API: what was sent where, with which result, and sending it again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from fluxsmith.contract.answers import ErrorResponse
from fluxsmith.services.webhooks import Webhook
from fluxsmith.web.context import CurrentActor, Services

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse} for status in (400, 403, 404, 409, 422)
}

router = APIRouter(prefix="/api/webhooks", tags=["Webhooks"], responses=_ERRORS)


@router.get("", summary="All webhooks")
def list_webhooks(
    services: Services, actor: CurrentActor, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[Webhook]:
    """With every attempt to deliver them, newest first. Secrets are not shown."""
    return services.webhooks.list(actor, limit)


@router.get("/{webhook_id}", summary="One webhook")
def get_webhook(webhook_id: str, services: Services, actor: CurrentActor) -> Webhook:
    """With every attempt to deliver it."""
    return services.webhooks.get(actor, webhook_id)


@router.post("/{webhook_id}/send", summary="Send a webhook again")
def send_webhook(webhook_id: str, services: Services, actor: CurrentActor) -> Webhook:
    """At once, whatever came of it before; the count of its attempts and its patience begin anew."""
    return services.webhooks.send_again(actor, webhook_id)
