"""`fluxsmith generate`: a prompt in, pictures out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluxsmith.cli.output import JSON_HELP, print_json

if TYPE_CHECKING:
    from fluxsmith.container import ServiceContainer
    from fluxsmith.services.inference import Generation, GenerationRequest


def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    model: Annotated[str | None, typer.Option(help="A base model, or a LoRA by id or name.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Draw a LoRA on this base, not on the one that it was trained on.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path(),
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    count: Annotated[int | None, typer.Option(help="How many pictures.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same picture.")] = None,
    steps: Annotated[int | None, typer.Option(help="Empty for the model's own.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Empty for the model's own.")] = None,
    strength: Annotated[float | None, typer.Option(help="Of the LoRA, 0 to 2.")] = None,
    output_format: Annotated[str | None, typer.Option("--format", help="png or jpeg.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Draw pictures. Ctrl-C cancels."""
    from fluxsmith.cli.files import in_words
    from fluxsmith.cli.follow import follow
    from fluxsmith.cli.models import find_model
    from fluxsmith.cli.session import services, somebody_at_work
    from fluxsmith.core.actor import LOCAL_OWNER

    given = {
        "base_model": base,
        "width": width,
        "height": height,
        "count": count,
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "strength": strength,
        "output_format": output_format,
    }
    with services() as container:
        request = parse_request(
            prompt=prompt,
            model=find_model(container, model or container.settings.model),
            **{key: value for key, value in given.items() if value is not None},
        )
        with in_words(out):
            out.mkdir(parents=True, exist_ok=True)
        started = container.inference.generate(LOCAL_OWNER, request)
        with somebody_at_work(container):
            follow(container.jobs, started.id)
        done = container.inference.get(LOCAL_OWNER, started.id)
        files = [_write(container, done, index, out) for index in range(len(done.outputs))]
    if as_json:
        print_json({**done.model_dump(mode="json"), "files": [str(file) for file in files]})
        return
    for file, output in zip(files, done.outputs, strict=True):
        typer.echo(f"{file}  (seed {output.seed})")


def parse_request(**fields: Any) -> GenerationRequest:
    """The request, or `ValidationError` in the words that page and API use."""
    from fluxsmith.core.validation import ValidationService
    from fluxsmith.services.inference import GenerationRequest

    return ValidationService().parse(GenerationRequest, fields)


def _write(container: ServiceContainer, done: Generation, index: int, folder: Path) -> Path:
    from PIL import Image

    from fluxsmith.cli.files import copy_file, in_words
    from fluxsmith.core.actor import LOCAL_OWNER

    png = container.inference.output(LOCAL_OWNER, done.id, index)
    stem = f"{done.id[:8]}-{done.outputs[index].seed}"
    if done.output_format == "png":
        return copy_file(png, folder, f"{stem}.png")
    target = folder / f"{stem}.jpg"
    with in_words(target), Image.open(png) as picture:
        picture.convert("RGB").save(target, "JPEG", quality=95)
    return target
