"""How the Generate page shows things: what is being drawn, and everything drawn so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from fluxsmith.services.inference import Generation
from fluxsmith.services.models import Model
from fluxsmith.ui import parts
from fluxsmith.ui.icons import icon
from fluxsmith.ui.media import download_url, output_url


def model_line(model: Model | None) -> str:
    """What calls the chosen LoRA up, or that none is used; and whether the picture may cost something."""
    if model is None or (model.kind == "base" and model.provider == "local"):
        says = "No LoRA: the base model as it is."
    elif model.trigger_word:
        says = f"Say <b>{escape(model.trigger_word)}</b> to call up {escape(model.name)}."
    else:
        says = escape(model.name) + "."
    paid = "" if model is None or model.provider == "local" else " Drawn elsewhere, which may be charged."
    return f'<p class="fs-trigger">{says}{paid}</p>'


def gallery(generations: Sequence[Generation], names: Mapping[str, str], waits_for: str) -> str:
    """All generations, newest first.

    Args:
        generations: newest first.
        names: what the models are called, by id.
        waits_for: why no worker takes jobs now; empty if one does.
    """
    if not generations:
        return parts.empty_state(
            "generate", "Nothing drawn yet", "Write what you want to see, and it is drawn here."
        )
    return (
        '<div class="fs-gallery" data-viewer>'
        + "".join(
            _generation(generation, names.get(generation.model, "a deleted LoRA"), waits_for)
            for generation in generations
        )
        + "</div>"
    )


def _generation(generation: Generation, model_name: str, waits_for: str) -> str:
    job = generation.job
    ended = job.ended
    top = ""
    if not ended:
        top = parts.strip(
            job,
            lead=icon("generate"),
            title=_title(generation),
            says=(job.state == "queued" and waits_for)
            or ("" if job.stage == "Drawing" else parts.stage_of(job)),
            unit="percent" if job.queue == "io" else "steps",
        )
    elif job.state == "failed":
        top = (
            parts.error_box(job.error.message, job.error.hint) if job.error else parts.error_box("It failed.")
        )
    tiles = _tiles(generation) if job.state in ("queued", "running", "done") else ""
    columns = min(max(generation.count, 1), 4)
    return (
        f'<article class="fs-generation" data-state="{job.state}" data-generation="{generation.id}">{top}'
        f'<ul class="fs-tiles" style="--columns:{columns}">{tiles}</ul>'
        f"{_says(generation, model_name)}</article>"
    )


def _tiles(generation: Generation) -> str:
    shape = f'style="aspect-ratio:{generation.width}/{generation.height}"'
    if not generation.outputs:
        return f'<li class="fs-tile"><i class="fs-blank" {shape}></i></li>' * generation.count
    return "".join(_tile(generation, index, shape) for index in range(len(generation.outputs)))


def _tile(generation: Generation, index: int, shape: str) -> str:
    output = generation.outputs[index]
    url = output_url(generation.id, index)
    prompt = escape(generation.prompt or "No prompt", quote=True)
    size = f"{output.width} × {output.height} px"
    if (output.native_width, output.native_height) != (output.width, output.height):
        size += f", drawn at {output.native_width} × {output.native_height} and scaled"
    download = download_url(generation.id, index, generation.output_format)
    return (
        f'<li class="fs-tile"><button type="button" data-view="{url}" data-says="{prompt}" '
        f'data-facts="Seed {output.seed} · {size}" data-download="{download}" data-reuse="{generation.id}">'
        f'<img src="{url}" alt="{prompt}" {shape} loading="lazy"/></button>'
        f'<a class="fs-over" href="{download}" download title="Download" '
        f'aria-label="Download picture {index + 1}">'
        f"{icon('download')}</a></li>"
    )


def _says(generation: Generation, model_name: str) -> str:
    details = [model_name]
    if generation.strength != 1.0:
        details.append(f"strength {generation.strength:g}")
    details += [f"{generation.width} × {generation.height}", f"seed {generation.seed}"]
    if generation.outputs and generation.outputs[0].reused_from:
        details.append("from the store, not paid for again")
    if generation.job.state == "cancelled":
        details.append("cancelled")
    return (
        f'<div class="fs-says"><p title="{escape(generation.prompt, quote=True)}">{_prompt(generation)}</p>'
        f"<p><span>{escape(' · '.join(details))} · {parts.ago(generation.created_at)}</span>"
        f"{parts.act('Use these settings', 'reuse', kind='fs-quiet', generation=generation.id)}"
        f"{_delete(generation)}</p></div>"
    )


def _delete(generation: Generation) -> str:
    if not generation.job.ended:
        return ""
    count = len(generation.outputs)
    what = {0: "Delete it?", 1: "Delete this picture?"}.get(count, f"Delete these {count} pictures?")
    return parts.act("Delete…", "delete", kind="fs-quiet", ask=what, generation=generation.id)


def _prompt(generation: Generation) -> str:
    return escape(generation.prompt) if generation.prompt.strip() else "<em>No prompt</em>"


def _title(generation: Generation) -> str:
    return "Drawing 1 picture" if generation.count == 1 else f"Drawing {generation.count} pictures"
