"""`fluxsmith datasets`: list, import and delete sets of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fluxsmith.cli.output import JSON_HELP, print_json, print_table
from fluxsmith.errors import NotFoundError

if TYPE_CHECKING:
    from fluxsmith.container import ServiceContainer
    from fluxsmith.services.datasets.schema import Dataset

app = typer.Typer(help="Sets of pictures.")
AsJson = Annotated[bool, typer.Option("--json", help=JSON_HELP)]


@app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List the datasets, newest first."""
    from fluxsmith.cli.session import services
    from fluxsmith.core.actor import LOCAL_OWNER

    with services() as container:
        found = container.datasets.list(LOCAL_OWNER)
    if as_json:
        print_json(found)
        return
    rows = [(one.id, one.name, str(len(one.images)), f"{one.created_at:%Y-%m-%d %H:%M}") for one in found]
    print_table(("ID", "NAME", "PICTURES", "MADE"), rows)


@app.command("import")
def import_dataset(
    pictures: Annotated[
        list[Path], typer.Argument(help="Pictures, .txt captions, one folder of them, or one zip.")
    ],
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import pictures as a new dataset: all of them, or none."""
    from fluxsmith.cli.session import services

    with services() as container:
        made = import_files(container, pictures, name)
    if as_json:
        print_json(made)
        return
    for note in made.notes:
        typer.echo(note, err=True)
    typer.echo(f"Imported '{made.name}', {len(made.images)} pictures: {made.id}")


@app.command("check")
def check_dataset(
    dataset: Annotated[str, typer.Argument(help="The dataset's id.")],
    base: Annotated[str | None, typer.Option(help="The model to teach.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what in a dataset would harm a LoRA."""
    from fluxsmith.cli.session import services
    from fluxsmith.core.actor import LOCAL_OWNER

    with services() as container:
        base = base or container.settings.model
        verdicts = container.finetuning.check_pictures(LOCAL_OWNER, dataset, base)
        names = {image.id: image.filename for image in container.datasets.get(LOCAL_OWNER, dataset).images}
    if as_json:
        print_json(verdicts)
        return
    if not verdicts:
        typer.echo("Nothing to remark upon.")
    for verdict in verdicts:
        typer.echo(f"{verdict.message} {verdict.hint}")
        for image_id in verdict.image_ids:
            typer.echo(f"  {names[image_id]}")


@app.command("delete")
def delete_dataset(
    dataset: Annotated[str, typer.Argument(help="The dataset's id.")], as_json: AsJson = False
) -> None:
    """Delete a dataset; models that were trained on it stay."""
    from fluxsmith.cli.session import services
    from fluxsmith.core.actor import LOCAL_OWNER

    with services() as container:
        gone = container.datasets.delete(LOCAL_OWNER, dataset)
    if as_json:
        print_json(gone)
    else:
        typer.echo(f"Deleted '{gone.name}'.")


def import_files(container: ServiceContainer, paths: list[Path], name: str | None) -> Dataset:
    """Make a dataset of files, of the files of one folder, or of a zip.

    Raises:
        NotFoundError: a path does not exist.
        ValidationError: a file cannot be used.
    """
    from fluxsmith.core.actor import LOCAL_OWNER
    from fluxsmith.services.datasets.schema import Upload

    for path in paths:
        if not path.exists():
            raise NotFoundError("file-not-found", f"There is no file or folder {path}.", field="pictures")
    files = [file for path in paths for file in (_visible(path) if path.is_dir() else [path])]
    uploads = [Upload(file.name, file) for file in files]
    return container.datasets.create(LOCAL_OWNER, name or paths[0].resolve().stem, uploads)


def _visible(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
