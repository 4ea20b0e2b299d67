"""Telling others that a task has ended: at least once, signed, with patience."""

from fluxsmith.services.webhooks.patience import Patience
from fluxsmith.services.webhooks.schema import Attempt, Webhook
from fluxsmith.services.webhooks.service import WebhookService

__all__ = ["Attempt", "Patience", "Webhook", "WebhookService"]
