"""Figures for Prometheus, counted in the database when asked: right whichever process did the work."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from fluxsmith.container import ServiceContainer
from fluxsmith.web.context import Services

router = APIRouter(tags=["Health"])


class _Figures(Collector):
    """Asks the services."""

    def __init__(self, services: ServiceContainer) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """One family a figure."""
        yield CounterMetricFamily(
            "fluxsmith_cloud_calls_saved",
            "Pictures taken from the store instead of being paid for again.",
            value=self._services.inference.saved_calls(),
        )


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
def metrics(services: Services) -> Response:
    """In Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Figures(services))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
