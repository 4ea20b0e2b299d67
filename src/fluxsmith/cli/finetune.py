"""`fluxsmith finetune`: pictures in, a LoRA out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluxsmith.cli.output import JSON_HELP, print_json
from fluxsmith.errors import ValidationError

if TYPE_CHECKING:
    from fluxsmith.container import ServiceContainer
    from fluxsmith.services.datasets.schema import Dataset
    from fluxsmith.services.finetuning import Finetune, FinetuneRequest

SET_HELP = "Any other training parameter as name=value; `fluxsmith finetune --parameters` lists them."


def finetune(
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Pictures, .txt captions, one folder of them, or one zip.")
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Train on the set that ships with us.")] = False,
    dataset: Annotated[str | None, typer.Option(help="Train on a dataset that is here, by its id.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the model.")] = None,
    trigger_word: Annotated[str, typer.Option(help="The word that calls up what is learned.")] = "TOK",
    mode: Annotated[str, typer.Option(help="general, character, style or product.")] = "general",
    captioning: Annotated[
        bool, typer.Option("--captioning/--no-captioning", help="Caption pictures that have no text.")
    ] = True,
    base: Annotated[str | None, typer.Option(help="The model to teach.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
    rank: Annotated[int | None, typer.Option(help="Capacity of the LoRA.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Empty means what suits the base.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same LoRA on a CPU.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help=SET_HELP)] = None,
    parameters: Annotated[bool, typer.Option("--parameters", help="List all parameters and end.")] = False,
    accept_cost: Annotated[
        float | None, typer.Option(metavar="USD", help="The most that it may cost, where that is money.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also copy the LoRA to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Train a LoRA on pictures. Ctrl-C cancels."""
    from fluxsmith.cli.files import copy_file
    from fluxsmith.cli.follow import follow
    from fluxsmith.cli.session import services, somebody_at_work
    from fluxsmith.core.actor import LOCAL_OWNER

    if parameters:
        _list_parameters()
        return
    given = {"steps": steps, "lora_rank": rank, "learning_rate": learning_rate, "seed": seed}
    chosen = {key: value for key, value in given.items() if value is not None} | _pairs(settings or [])
    with services() as container:
        chosen_set = _dataset(container, pictures or [], sample, dataset)
        request = parse_request(
            dataset_id=chosen_set.id,
            name=name or f"{chosen_set.name} ({trigger_word})",
            trigger_word=trigger_word,
            mode=mode,
            captioning=captioning,
            base_model=base or container.settings.model,
            parameters=chosen,
            accepted_cost_usd=accept_cost,
        )
        request = _with_cost_accepted(container, request)
        with somebody_at_work(container):
            started = container.finetuning.start(LOCAL_OWNER, request)
            follow(container.jobs, started.id)
        done = container.finetuning.get(LOCAL_OWNER, started.id)
        is_here = container.models.get(LOCAL_OWNER, done.id).size_bytes is not None
        file = container.models.file(LOCAL_OWNER, done.id) if is_here else None
        if out is not None:
            file = copy_file(container.models.file(LOCAL_OWNER, done.id), out, f"{done.id}.safetensors")
        _report(done, file, as_json)


def _with_cost_accepted(container: ServiceContainer, request: FinetuneRequest) -> FinetuneRequest:
    """Ask whoever sits at the terminal whether to pay; without one, the service refuses in words."""
    if request.accepted_cost_usd is not None or not sys.stdin.isatty():
        return request
    quote = container.finetuning.quote(request.base_model, request.parameters.steps)
    if quote.cost_usd is None or not typer.confirm(f"{quote.words} Start it?", err=True):
        return request
    return request.model_copy(update={"accepted_cost_usd": quote.cost_usd})


def _report(done: Finetune, file: Path | None, as_json: bool) -> None:
    if as_json:
        print_json({**done.model_dump(mode="json"), "file": str(file) if file else None})
        return
    where = file or f"kept at {done.facts['host']} as {done.facts['remote_id']}"
    typer.echo(f"Trained '{done.name}' on {done.pictures} pictures: {where}")
    typer.echo(f'Draw with it: fluxsmith generate "{done.trigger_word}" --model {done.id}')


def _dataset(container: ServiceContainer, pictures: list[Path], sample: bool, dataset: str | None) -> Dataset:
    from fluxsmith.cli.datasets import import_files
    from fluxsmith.core.actor import LOCAL_OWNER

    if bool(pictures) + sample + (dataset is not None) != 1:
        raise ValidationError(
            "pictures-missing",
            "Say which pictures to learn from, in one way.",
            hint="fluxsmith finetune PICTURES…, --sample, or --dataset ID.",
        )
    if sample:
        return container.datasets.sample(LOCAL_OWNER)
    if dataset is not None:
        return container.datasets.get(LOCAL_OWNER, dataset)
    return import_files(container, pictures, None)


def parse_request(**fields: Any) -> FinetuneRequest:
    """The request, or `ValidationError` in the words that page and API use."""
    from fluxsmith.core.validation import ValidationService
    from fluxsmith.services.finetuning import FinetuneRequest

    return ValidationService().parse(FinetuneRequest, fields)


def _pairs(settings: list[str]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValidationError(
                "parameter-malformed", f"'{setting}' is not of the form name=value.", hint=SET_HELP
            )
        key = key.strip().replace("-", "_")
        pairs[key] = [value] if key == "sample_prompts" else value
    return pairs


def _list_parameters() -> None:
    from fluxsmith.cli.output import print_table
    from fluxsmith.providers.base import FinetuneParameters

    fields = FinetuneParameters.model_fields
    print_table(
        ("NAME", "DEFAULT", "MEANING"),
        [(key, str(field.default), field.description or "") for key, field in fields.items()],
    )
