"""`fluxsmith worker`: a process that carries out jobs; the server starts its own."""

from __future__ import annotations

from typing import Annotated

import typer


def worker(
    supervised: Annotated[
        bool, typer.Option("--supervised", help="End when standard input ends.", hidden=True)
    ] = False,
) -> None:
    """Carry out jobs until told to end. `serve` runs one by itself."""
    from fluxsmith.cli.session import load_settings
    from fluxsmith.container import ServiceContainer
    from fluxsmith.worker.runtime import run_worker

    run_worker(ServiceContainer(load_settings(quiet=False)), supervised=supervised)
