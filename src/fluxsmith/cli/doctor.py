"""`fluxsmith doctor`: whether everything that is needed is there, and what to do if not."""

from __future__ import annotations

from typing import Annotated

import typer

from fluxsmith.cli.output import JSON_HELP, print_json

MARKS = {"ok": "ok  ", "warning": "note", "bad": "BAD "}


def doctor(as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False) -> None:
    """Check this machine and this installation; exit code 1 if something is bad."""
    from fluxsmith.cli.session import load_settings
    from fluxsmith.services.doctor import examine

    checks = examine(load_settings())
    if as_json:
        print_json(checks)
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            typer.echo(f"{MARKS[check.state]}  {check.name.ljust(width)}  {check.found}")
            if check.todo:
                typer.echo(f"      {' ' * width}  → {check.todo}")
    if any(check.state == "bad" for check in checks):
        raise typer.Exit(1)
