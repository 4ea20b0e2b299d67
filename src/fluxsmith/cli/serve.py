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
    from fluxsmith.config.settings import Settings

LONGEST_GOODBYE_S = 3  # for requests that are still being answered


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; loopback only.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the studio and the API, with a worker. Ctrl-C ends it; jobs go on at the next start."""
    from fluxsmith.cli.session import load_settings
    from fluxsmith.worker.folder_locks import lock_for_server

    settings = load_settings(quiet=False, host=host, port=port)
    lock = lock_for_server(settings.data_dir)
    try:
        with listen(settings) as listener:
            _serve(settings, listener)
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


def _serve(settings: Settings, listener: socket.socket) -> None:
    import uvicorn

    from fluxsmith.container import ServiceContainer
    from fluxsmith.web.app import create_app
    from fluxsmith.worker.supervisor import Supervisor

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                typer.echo(f"fluxsmith is at {settings.url} (Ctrl-C ends it)")

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is below is ended, too
    container = ServiceContainer(settings)
    supervisor = Supervisor(settings)
    try:
        container.db.check()  # migrated before the worker opens it
        supervisor.start()
        app = create_app(container)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, timeout_graceful_shutdown=LONGEST_GOODBYE_S
        )
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends in order, then raises the signal again
            Server(config).run(sockets=[listener])
    finally:
        supervisor.stop()
        container.close()
