"""Puts the web application together: BFL's API, our own, files, health and the studio.

Making it makes no service and imports no torch: services come with the first request that needs one.
Starting workers and listening are the command line's part.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from fluxsmith import __version__
from fluxsmith.container import ServiceContainer
from fluxsmith.tasks.links import ResultLinks
from fluxsmith.web import api, docs, files, health, metrics, models, v1, webhooks
from fluxsmith.web.errors import install_error_handlers
from fluxsmith.web.middleware import BodyLimit, KnownHosts, RequestContext

DESCRIPTION = """
A self-hosted studio for finetuning FLUX image models. `/v1` is BFL's API: code that was written for it
works by changing the host. `/api` is what BFL's API lacks.

On loopback any key, or none, is accepted. Endpoints are named after BFL's models; what draws is this
server's own model, or the finetune that is named. A field that asks for what it cannot do is refused.
"""
API_AREAS = ("/v1", "/api", "/files")
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app(container: ServiceContainer) -> FastAPI:
    """The whole application: the HTTP interfaces, and the studio at `/`."""
    from fluxsmith.ui.app import mount_studio

    app = create_api(container)
    for area in API_AREAS:  # the studio at / would otherwise answer for what the interfaces lack
        app.add_route(f"{area}/{{rest:path}}", _unknown, methods=_METHODS, include_in_schema=False)
    mount_studio(app, container)
    return app


def create_api(container: ServiceContainer) -> FastAPI:
    """The HTTP interfaces without the studio."""
    app = FastAPI(
        title="fluxsmith", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None
    )
    app.state.container = container
    app.state.links = ResultLinks(container.settings)
    install_error_handlers(app)
    settings = container.settings
    app.add_middleware(BodyLimit, settings=settings)
    app.add_middleware(KnownHosts, settings=settings)
    app.add_middleware(RequestContext)  # added last, so it is the outermost
    for router in (
        v1.router,
        api.router,
        models.router,
        webhooks.router,
        files.router,
        health.router,
        metrics.router,
        docs.router,
    ):
        app.include_router(router)
    return app


async def _unknown(request: Request) -> Response:
    """404 for what is not there, 405 for what is, under another method."""
    known = (route.matches(request.scope)[0] for route in request.app.router.routes)
    raise HTTPException(405 if Match.PARTIAL in known else 404)
