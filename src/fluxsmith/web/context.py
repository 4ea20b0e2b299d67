"""What routes ask for: the services, who asks, and under which address the client reached us.

They are coroutines because they wait for nothing: FastAPI would send each plain function to a thread of
its own, and four such trips take longer than a poll's work.
"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import Request

from fluxsmith.container import ServiceContainer
from fluxsmith.core.actor import LOCAL_OWNER, Actor
from fluxsmith.tasks.links import ResultLinks


async def services_of(request: Request) -> ServiceContainer:
    """The container that the application was made with."""
    return _container(request)


async def actor_of(request: Request) -> Actor:
    """Who asks: on loopback there is one owner, whatever key is sent."""
    return LOCAL_OWNER


async def links_of(request: Request) -> ResultLinks:
    """The signer of links to results."""
    return cast(ResultLinks, request.app.state.links)


async def base_of(request: Request) -> str:
    """The address under which the client reached us: the public one if it is set, else its own words.

    The `Host` header is checked before (`middleware.KnownHosts`).
    """
    public = _container(request).settings.public_url
    return public if public else str(request.base_url).rstrip("/")


def _container(request: Request) -> ServiceContainer:
    return cast(ServiceContainer, request.app.state.container)


Services = Annotated[ServiceContainer, Depends(services_of)]
CurrentActor = Annotated[Actor, Depends(actor_of)]
Links = Annotated[ResultLinks, Depends(links_of)]
Base = Annotated[str, Depends(base_of)]
