"""What a webhook tells: the answer of a poll, and on failure its code and words at the top as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluxsmith.container import ServiceContainer
from fluxsmith.contract.answers import StatusResponse
from fluxsmith.core.actor import Actor
from fluxsmith.tasks.answers import poll
from fluxsmith.tasks.links import ResultLinks


def notifier(services: ServiceContainer) -> Callable[[str, str, str], dict[str, Any]]:
    """What tells of a task, by its owner, its id and the address under which the client knows us."""
    links = ResultLinks(services.settings)

    def notification(owner_id: str, task_id: str, base_url: str) -> dict[str, Any]:
        answer = poll(services, Actor(id=owner_id, name=owner_id), task_id, links, base_url)
        told = answer.model_dump(mode="json")
        if answer.status is not StatusResponse.ready:
            details = answer.details or {}
            told["error"] = details.get("code", "task-not-found")
            told["message"] = details.get("message", "The task was deleted.")
        return told

    return notification
