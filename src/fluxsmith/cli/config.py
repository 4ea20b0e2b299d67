"""`fluxsmith config`: every setting with its value and where it came from."""

from __future__ import annotations

from typing import Annotated

import typer

from fluxsmith.cli.output import JSON_HELP, print_json, print_table


def config(
    name: Annotated[str | None, typer.Argument(help="Show one setting only.")] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a .env file with all defaults.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Show every setting, its value and where it came from; secrets are hidden."""
    from fluxsmith.config.example import example_env
    from fluxsmith.config.settings import ConfigService, Settings

    if example:
        typer.echo(example_env(), nl=False)
        return
    service = ConfigService(Settings.load())
    views = [service.get(name)] if name else service.items()
    if as_json:
        print_json(views)
        return
    rows = [
        (view.env, f"{view.value} {view.unit}".strip() if view.value else "-", view.source) for view in views
    ]
    print_table(("SETTING", "VALUE", "FROM"), rows)
