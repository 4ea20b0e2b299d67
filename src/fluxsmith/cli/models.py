"""`fluxsmith models`: list what can be drawn with; import, export, link and delete LoRAs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fluxsmith.cli.output import JSON_HELP, print_json, print_table, size
from fluxsmith.errors import ValidationError

app = typer.Typer(help="Base models and the LoRAs that were trained here.")
PUBLISH = "To draw with it at BFL: fluxsmith models publish {name}"
AsJson = Annotated[bool, typer.Option("--json", help=JSON_HELP)]
ModelName = Annotated[str, typer.Argument(help="A model's id, or its name if no other has it.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List base models, then LoRAs, newest first."""
    from fluxsmith.cli.session import services
    from fluxsmith.core.actor import LOCAL_OWNER

    with services() as container:
        found = container.models.list(LOCAL_OWNER)
    if as_json:
        print_json(found)
        return
    rows = [
        (one.id, one.name, one.kind, one.base_model, one.trigger_word or "", size(one.size_bytes))
        for one in found
    ]
    print_table(("ID", "NAME", "KIND", "BASE", "TRIGGER", "SIZE"), rows)


@app.command("export")
def export_model(
    model: ModelName,
    target: Annotated[Path, typer.Argument(help="The file to write, or a folder for it.")],
    as_json: AsJson = False,
) -> None:
    """Copy a LoRA's safetensors file; diffusers loads it with `load_lora_weights`."""
    from fluxsmith.cli.files import copy_file
    from fluxsmith.cli.session import services
    from fluxsmith.core.actor import LOCAL_OWNER

    with services() as container:
        found = container.models.get(LOCAL_OWNER, model)
        if found.kind == "base":
            raise ValidationError(
                "not-a-lora",
                f"'{found.id}' is a base model, a folder of weights; only LoRAs are exported.",
                hint="`fluxsmith models list` shows which models are LoRAs.",
            )
        written = copy_file(container.models.file(LOCAL_OWNER, found.id), target, f"{found.id}.safetensors")
    if as_json:
        print_json({"id": found.id, "file": str(written)})
    else:
        typer.echo(f"Wrote {written}")
        if "klein" in found.base_model:
            typer.echo(PUBLISH.format(name=shlex.quote(found.name)))


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="The LoRA, as .safetensors.")],
    base: Annotated[
        str | None, typer.Option(help="The model that it was trained on; the default one if not given.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Its finetune_id: a-z, 0-9, - and _; after the file if not given.")
    ] = None,
    trigger_word: Annotated[
        str,
        typer.Option(
            "--trigger-word", "--trigger", help="The word that calls it up; the file's own if not given."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Import a LoRA that was trained elsewhere, or here and exported; keys of diffusers, BFL or kohya.

    The file is checked before it is kept: that it is whole, safetensors, and made for that base.
    """
    from fluxsmith.cli.session import services
    from fluxsmith.core.actor import LOCAL_OWNER
    from fluxsmith.core.validation import ValidationService
    from fluxsmith.services.models import ImportRequest, name_for

    with services() as container:
        fields = {
            "name": name or name_for(file.stem),
            "base_model": base or container.settings.model,
            "trigger_word": trigger_word,
        }
        made = container.models.add(LOCAL_OWNER, ValidationService().parse(ImportRequest, fields), file)
    if as_json:
        print_json(made)
    else:
        typer.echo(f'Draw with it: fluxsmith generate "{made.trigger_word or "…"}" --model {made.name}')


@app.command("publish")
def publish_model(
    model: ModelName,
    to: Annotated[Path, typer.Option(help="The folder to write its file into.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a LoRA's file for BFL's dashboard, and tell the steps that are left; BFL has no API for them."""
    from fluxsmith.cli.files import copy_file
    from fluxsmith.cli.session import services
    from fluxsmith.core.actor import LOCAL_OWNER

    with services() as container:
        guide = container.models.publish_guide(LOCAL_OWNER, model)
        written = copy_file(
            container.models.file(LOCAL_OWNER, guide.model_id), to / guide.file_name, guide.file_name
        )
    if as_json:
        print_json({**guide.model_dump(mode="json"), "file": str(written)})
        return
    typer.echo(f"1. {guide.steps[0]} It is written to {written}")
    for number, step in enumerate(guide.steps[1:], start=2):
        typer.echo(f"{number}. {step}")
    typer.echo(f"   {guide.link_command}")


@app.command("link")
def link_model(
    remote_id: Annotated[str, typer.Argument(help="Its id there; organisation/name for a shared one.")],
    base: Annotated[str, typer.Option(help="The model that it was trained on, such as bfl/flux-2-klein-4b.")],
    name: Annotated[str | None, typer.Option(help="What to call it here; its id if not given.")] = None,
    trigger_word: Annotated[str, typer.Option(help="The word that calls up what it has learned.")] = "",
    as_json: AsJson = False,
) -> None:
    """Draw with a LoRA that BFL keeps: one uploaded in its dashboard, under Customization → Finetunes."""
    from fluxsmith.cli.session import services
    from fluxsmith.core.actor import LOCAL_OWNER
    from fluxsmith.core.validation import ValidationService
    from fluxsmith.services.models import LinkRequest

    fields = {
        "remote_id": remote_id,
        "base_model": base,
        "name": name or remote_id,
        "trigger_word": trigger_word,
    }
    with services() as container:
        linked = container.models.link(LOCAL_OWNER, ValidationService().parse(LinkRequest, fields))
    if as_json:
        print_json(linked)
    else:
        typer.echo(f'Draw with it: fluxsmith generate "{linked.trigger_word or "…"}" --model {linked.id}')


@app.command("delete")
def delete_model(model: ModelName, as_json: AsJson = False) -> None:
    """Delete a LoRA."""
    from fluxsmith.cli.session import services
    from fluxsmith.core.actor import LOCAL_OWNER

    with services() as container:
        gone = container.models.delete(LOCAL_OWNER, model)
    if as_json:
        print_json(gone)
    else:
        typer.echo(f"Deleted '{gone.name}'.")
