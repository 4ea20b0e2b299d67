"""`fluxsmith generate`: a prompt in, pictures out."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluxsmith.cli.output import JSON_HELP, print_json
from fluxsmith.errors import NotFoundError, ValidationError

if TYPE_CHECKING:
    from fluxsmith.container import ServiceContainer
    from fluxsmith.services.inference import Generation, GenerationRequest

MARGINS = ("top", "bottom", "left", "right")


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
    edit: Annotated[list[Path] | None, typer.Option(help="A picture to change; repeat for more.")] = None,
    image_prompt: Annotated[list[Path] | None, typer.Option(help="Draw something like this picture.")] = None,
    image_prompt_strength: Annotated[float | None, typer.Option(help="0 to 1.")] = None,
    fill: Annotated[Path | None, typer.Option(help="Draw the masked part of this picture anew.")] = None,
    mask: Annotated[Path | None, typer.Option(help="White where --fill is drawn anew.")] = None,
    expand: Annotated[
        str | None, typer.Option(help="Draw --fill further: pixels at TOP,BOTTOM,LEFT,RIGHT.")
    ] = None,
    canny: Annotated[Path | None, typer.Option(help="Follow the edges of this picture.")] = None,
    depth: Annotated[Path | None, typer.Option(help="Follow the relief of this picture.")] = None,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Ask a paid provider again even for pictures that are here already."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Draw pictures. Ctrl-C cancels."""
    from fluxsmith.cli.files import in_words
    from fluxsmith.cli.follow import follow
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
        "image_prompt_strength": image_prompt_strength,
        "expand": _margins(expand) if expand else None,
    }
    roles = {"edit": edit, "image_prompt": image_prompt, "fill": fill, "mask": mask}
    roles |= {"canny": canny, "depth": depth}
    pictures = [_picture(role, path) for role, paths in roles.items() for path in _listed(paths)]
    with services() as container:
        request = parse_request(
            prompt=prompt,
            model=model or container.settings.model,
            anew=anew,
            pictures=pictures,
            size_from_picture=bool(pictures) and not (width or height),
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


def _listed(paths: Path | list[Path] | None) -> list[Path]:
    return [paths] if isinstance(paths, Path) else paths or []


def _picture(role: str, path: Path) -> dict[str, str]:
    """A picture to follow, as the API takes it."""
    if not path.is_file():
        raise NotFoundError("file-not-found", f"There is no file {path}.", field="pictures")
    return {"role": role, "data": base64.b64encode(path.read_bytes()).decode()}


def _margins(text: str) -> dict[str, str]:
    sides = text.split(",")
    if len(sides) != len(MARGINS):
        raise ValidationError(
            "parameter-malformed",
            f"'{text}' is not four numbers.",
            hint="--expand 0,0,128,128",
            field="expand",
        )
    return dict(zip(MARGINS, sides, strict=True))


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
