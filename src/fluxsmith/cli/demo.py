"""`fluxsmith demo`: the main job without a page: train on the sample set, draw, show both in one picture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fluxsmith.cli.output import JSON_HELP, print_json

if TYPE_CHECKING:
    from fluxsmith.container import ServiceContainer

SIDE = 256
SEED = 7


def demo(
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("demo.png"),
    steps: Annotated[int, typer.Option(help="Training steps.")] = 200,
    count: Annotated[int, typer.Option(min=1, max=8, help="Seeds to draw.")] = 4,
    prompt: Annotated[str | None, typer.Option(help="What to draw; by default the trigger word.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Finetune the sample set and draw it without and with the LoRA, side by side in one picture."""
    from fluxsmith.cli.session import services, somebody_at_work
    from fluxsmith.cli.sheet import Row, draw_sheet
    from fluxsmith.core.actor import LOCAL_OWNER
    from fluxsmith.samples import SAMPLE_TRIGGER_WORD

    began = time.monotonic()
    words = prompt or SAMPLE_TRIGGER_WORD
    with services() as container, somebody_at_work(container):
        typer.echo("Training on the sample set…", err=True)
        model_id, pictures = _train(container, SAMPLE_TRIGGER_WORD, steps)
        trained_s = time.monotonic() - began
        typer.echo(f"Drawing '{words}' without and with what was learned…", err=True)
        base = container.finetuning.get(LOCAL_OWNER, model_id).base_model
        without = _draw(container, base, words, count)
        with_it = _draw(container, model_id, words, count)
        rows = [
            Row(f"The set: {len(pictures)} pictures of '{SAMPLE_TRIGGER_WORD}'", pictures),
            Row(f"'{words}' by {base} alone", without),
            Row(f"'{words}' by {base} with the LoRA, {steps} steps, same seeds", with_it),
        ]
        draw_sheet(rows, out)
    wall_s = time.monotonic() - began
    if as_json:
        print_json({"file": str(out), "model": model_id, "trained_s": trained_s, "wall_s": wall_s})
        return
    typer.echo(f"Wrote {out}: trained in {trained_s:.0f} s, {wall_s:.0f} s in all.")


def _train(container: ServiceContainer, trigger_word: str, steps: int) -> tuple[str, list[Path]]:
    """Train on the sample set; returns the model's id and the pictures' files."""
    from fluxsmith.cli.finetune import parse_request
    from fluxsmith.cli.follow import follow
    from fluxsmith.core.actor import LOCAL_OWNER

    dataset = container.datasets.sample(LOCAL_OWNER)
    request = parse_request(
        dataset_id=dataset.id,
        name=f"Demo of {dataset.name}",
        trigger_word=trigger_word,
        base_model=container.settings.model,
        parameters={"steps": steps, "sample_every": 0},
    )
    started = container.finetuning.start(LOCAL_OWNER, request)
    follow(container.jobs, started.id)
    return started.id, [container.storage.local_path(image.storage_key) for image in dataset.images]


def _draw(container: ServiceContainer, model: str, prompt: str, count: int) -> list[Path]:
    from fluxsmith.cli.follow import follow
    from fluxsmith.cli.generate import parse_request
    from fluxsmith.core.actor import LOCAL_OWNER

    request = parse_request(model=model, prompt=prompt, width=SIDE, height=SIDE, count=count, seed=SEED)
    started = container.inference.generate(LOCAL_OWNER, request)
    follow(container.jobs, started.id)
    return [container.inference.output(LOCAL_OWNER, started.id, index) for index in range(count)]
