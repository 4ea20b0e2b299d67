"""`fluxsmith serve`: the web process and, under it, the worker."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from fluxsmith.errors import ConfigError, ConflictError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from fluxsmith.config.settings import Settings
    from fluxsmith.container import ServiceContainer
    from fluxsmith.worker.supervisor import Supervisor

LONGEST_GOODBYE_S = 3  # for requests that are still being answered


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; loopback only.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the studio and the API, with a worker. Ctrl-C ends it; jobs go on at the next start."""
    from fluxsmith.cli.session import load_settings
    from fluxsmith.container import ServiceContainer
    from fluxsmith.worker.folder_locks import lock_for_server
    from fluxsmith.worker.supervisor import Supervisor

    settings = load_settings(quiet=False, host=host, port=port)
    lock = lock_for_server(settings.data_dir)
    try:
        with listen(settings) as listener:
            run_server(ServiceContainer(settings), Supervisor(settings), listener)
    finally:
        lock.release()


def listen(settings: Settings, port_is: str = "FLUXSMITH_PORT=") -> socket.socket:
    """A listening socket at the address that is set; `port_is` says how another port is given.

    Raises:
        ConflictError: another program has the port.
        ConfigError: the address is not this machine's, or the port is not allowed.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise _no_port(settings, error, port_is) from error
    return listener


def _no_port(settings: Settings, error: OSError, port_is: str) -> ConflictError | ConfigError:
    place = f"Port {settings.port} on {settings.host}"
    other = settings.port + 1 if settings.port < 65_535 else settings.port - 1
    if error.errno == errno.EADDRINUSE:
        return ConflictError(
            "port-taken",
            f"{place} is taken by another program.",
            hint=f"End that program, or choose another port, such as {port_is}{other}.",
            field="FLUXSMITH_PORT",
        )
    return ConfigError(
        "port-refused",
        f"{place} cannot be used: {error.strerror}.",
        hint="Set FLUXSMITH_HOST to 127.0.0.1 and FLUXSMITH_PORT to a free port above 1023.",
        field="FLUXSMITH_PORT",
    )


def run_server(container: ServiceContainer, supervisor: Supervisor, listener: socket.socket) -> None:
    """Serve the studio and the API until a signal ends it, with the supervisor's worker; ends both."""
    from fluxsmith.web.app import create_app

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is below is ended, too
    try:
        container.db.check()  # migrated before the worker opens it
        supervisor.start()
        run_app(create_app(container), listener, f"fluxsmith is at {container.settings.url} (Ctrl-C ends it)")
    finally:
        supervisor.stop()
        container.close()


def run_app(app: ASGIApp, listener: socket.socket, says: str, *, own_headers: bool = True) -> None:
    """Answer at a socket until a signal ends it.

    Args:
        app: what answers.
        listener: where.
        says: the line for people that is printed once it is heard.
        own_headers: whether the web server adds its name and the date to answers.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                typer.echo(says)

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=own_headers,
        date_header=own_headers,
        timeout_graceful_shutdown=LONGEST_GOODBYE_S,
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends in order, then raises the signal again
        Server(config).run(sockets=[listener])
