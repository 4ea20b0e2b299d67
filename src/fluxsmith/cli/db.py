"""`fluxsmith db`: the database's state, its migrations, and copies of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from fluxsmith.cli.output import JSON_HELP, print_json, size

if TYPE_CHECKING:
    from fluxsmith.core.database import Database

app = typer.Typer(help="The database.")
AsJson = Annotated[bool, typer.Option("--json", help=JSON_HELP)]


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Say where the database is and whether it is up to date."""
    with _database() as db:
        pending = db.pending()
        exists = db.path is None or db.path.exists()
        bytes_used = db.path.stat().st_size if db.path is not None and exists else None
        where = db.url.render_as_string(hide_password=True)
    if as_json:
        print_json({"url": where, "exists": exists, "pending": pending, "size_bytes": bytes_used})
        return
    typer.echo(f"{where} {size(bytes_used)}".rstrip())
    if not exists:
        typer.echo("It will be made at the first start, or by `fluxsmith db migrate`.")
    else:
        typer.echo("Migrations wait: `fluxsmith db migrate` runs them." if pending else "Up to date.")


@app.command("migrate")
def migrate(as_json: AsJson = False) -> None:
    """Bring the database up to date; a SQLite file is copied beside itself before."""
    with _database() as db:
        pending = db.pending()
        db.migrate()
    if as_json:
        print_json({"migrated": pending})
    else:
        typer.echo("Migrated." if pending else "Nothing to do: up to date.")


@app.command("backup")
def backup(as_json: AsJson = False) -> None:
    """Copy a SQLite database beside itself, also while the server runs."""
    with _database() as db:
        copy = db.backup()
    if as_json:
        print_json({"file": str(copy)})
    else:
        typer.echo(f"Wrote {copy}")


@contextmanager
def _database() -> Iterator[Database]:
    from fluxsmith.cli.session import load_settings
    from fluxsmith.core.database import Database

    db = Database(load_settings().resolved_database_url)
    try:
        yield db
    finally:
        db.close()
