"""What a command of the shell works with: settings, log, services, and a worker if none is at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fluxsmith.config.settings import Settings
    from fluxsmith.container import ServiceContainer

QUIET = "warning"  # a command's own words are enough; the log tells only what went wrong


def load_settings(*, quiet: bool = True, **overrides: Any) -> Settings:
    """Read the settings and start the log.

    Args:
        quiet: log only warnings, unless the level is set.
        overrides: settings given as options of the command; None means not given.
    """
    from fluxsmith.config.settings import DEFAULT, Settings
    from fluxsmith.core.logging import configure_logging

    settings = Settings.load(**overrides)
    if quiet and settings.source_of("log_level") == DEFAULT:
        settings = Settings.load(**overrides, log_level=QUIET)
    configure_logging(settings)
    return settings


@contextmanager
def services() -> Iterator[ServiceContainer]:
    """The services of this installation; closed at the end."""
    from fluxsmith.container import ServiceContainer

    container = ServiceContainer(load_settings())
    try:
        yield container
    finally:
        container.close()


@contextmanager
def somebody_at_work(container: ServiceContainer) -> Iterator[None]:
    """A live worker for the block: the server's if there is one, or one of our own until the end."""
    if any(worker.alive for worker in container.jobs.workers()):
        yield
        return
    from fluxsmith.worker.supervisor import Supervisor

    supervisor = Supervisor(container.settings.model_copy(update={"workers": 1}))
    supervisor.start()
    try:
        yield
    finally:
        supervisor.stop()
