"""How the Finetune page shows things: a set of pictures, a running finetune, the list of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from fluxsmith.core.verdict import Verdict
from fluxsmith.samples import SAMPLE_NAME
from fluxsmith.services.datasets.schema import Dataset, DatasetImage
from fluxsmith.services.finetuning import Finetune
from fluxsmith.ui import parts
from fluxsmith.ui.curve import loss_curve
from fluxsmith.ui.icons import icon
from fluxsmith.ui.media import sample_url, thumbnail_url
from fluxsmith.ui.watch import Sample, Watched

SHOWN_SETS = 5
SHOWN_FINETUNES = 20
SHOWN_ABOUT = 6


def picture_grid(dataset: Dataset, captions: Sequence[str], left_out: str | None = None) -> str:
    """The chosen pictures with their captions to edit.

    Args:
        dataset: what was chosen.
        captions: the words that each picture would be trained with if it had none of its own.
        left_out: the picture that was just left out and may be brought back.
    """
    cells = "".join(
        f'<li><img src="{thumbnail_url(dataset.id, image.id)}" alt="{escape(image.filename, quote=True)}" '
        f'loading="lazy" width="160" height="160"/>{_leave_out(dataset, image)}'
        f'<textarea rows="2" data-edit="caption" data-image="{image.id}" '
        f'aria-label="Caption of {escape(image.filename, quote=True)}" '
        f'placeholder="{escape(words, quote=True)}">{escape(image.caption or "")}</textarea></li>'
        for image, words in zip(dataset.images, captions, strict=True)
    )
    count = len(dataset.images)
    notes = "".join(f"<p class='fs-note'>{escape(note)}</p>" for note in dataset.notes)
    if left_out:
        again = parts.act("Bring it back", "bring-back", kind="fs-quiet", image=left_out)
        notes += f'<p class="fs-note" role="status">A picture is left out. {again}</p>'
    return (
        f'<div class="fs-set"><div class="fs-set-head"><strong>{escape(dataset.name)}</strong>'
        f"<span>{count} {'picture' if count == 1 else 'pictures'}</span>"
        f"{parts.act('Choose others', 'clear', kind='fs-quiet')}</div>{notes}"
        f'<ul class="fs-thumbs">{cells}</ul></div>'
    )


def _leave_out(dataset: Dataset, image: DatasetImage) -> str:
    if len(dataset.images) == 1:
        return ""
    words = escape(f"Leave out {image.filename}", quote=True)
    return (
        f'<button type="button" class="fs-leave-out" data-act="leave-out" data-image="{image.id}" '
        f'aria-label="{words}" title="Leave out">{icon("close")}</button>'
    )


def advice(dataset_id: str, verdicts: Sequence[Verdict]) -> str:
    """What would harm the LoRA, each with the pictures that it is about."""
    if not verdicts:
        return ""
    rows = "".join(
        f"<li><div><strong>{escape(verdict.message)}</strong><p>{escape(verdict.hint)}</p></div>"
        f"{_about(dataset_id, verdict.image_ids)}</li>"
        for verdict in verdicts
    )
    return f'<section class="fs-advice" aria-label="Advice on the pictures"><ul>{rows}</ul></section>'


def _about(dataset_id: str, image_ids: Sequence[str]) -> str:
    shown = "".join(
        f'<img src="{thumbnail_url(dataset_id, image_id)}" alt="" loading="lazy" width="40" height="40"/>'
        for image_id in image_ids[:SHOWN_ABOUT]
    )
    more = len(image_ids) - SHOWN_ABOUT
    return f'<div class="fs-about">{shown}{f"<span>and {more} more</span>" if more > 0 else ""}</div>'


def set_choices(datasets: Sequence[Dataset], max_upload_mb: int) -> str:
    """Ways to begin without a file at hand: the sample set, and sets used before.

    Holds, unseen, the words for files that together exceed `max_upload_mb`; studio.js shows them.
    """
    earlier = "".join(
        f'<button type="button" class="fs-chip" data-act="use" data-dataset="{dataset.id}">'
        f'<img src="{thumbnail_url(dataset.id, dataset.images[0].id)}" alt="" width="24" height="24"/>'
        f"<span>{escape(dataset.name)}</span><small>{len(dataset.images)}</small></button>"
        for dataset in [one for one in datasets if one.images and one.name != SAMPLE_NAME][:SHOWN_SETS]
    )
    again = f'<span class="fs-chips-title">Used before</span>{earlier}' if earlier else ""
    sample = parts.act("Use the sample set", "sample", icon_name="pictures")
    words = parts.too_large(
        max_upload_mb, "Send fewer or smaller pictures, or raise FLUXSMITH_MAX_UPLOAD_MB."
    )
    return f'<div class="fs-chips">{sample}{again}{words}</div>'


def finetune_card(finetune: Finetune, watched: Watched, waits_for: str) -> str:
    """One finetune opened: the strip while it runs, its end in words, the curve and the samples.

    Args:
        finetune: the one that is opened.
        watched: what its events have told.
        waits_for: why no worker takes jobs now; empty if one does.
    """
    job = finetune.job
    total = finetune.parameters.steps
    head = (
        f'<div class="fs-card-head"><div><h2>{escape(finetune.name)}</h2>{parts.verdict(job)}</div>'
        f'<div class="fs-acts">{_delete(finetune) if job.ended else ""}'
        f"{parts.act('Close', 'close', icon_name='close', kind='fs-quiet')}</div></div>"
    )
    facts = parts.facts(
        [
            ("Trigger word", finetune.trigger_word),
            ("Base", finetune.base_model),
            ("Pictures", str(finetune.pictures)),
            ("Steps", f"{total:,}"),
        ]
    )
    detail = ""
    if watched.losses or not job.ended:
        samples = sample_strip(finetune.id, watched.samples, waiting=not job.ended)
        detail = f'<div class="fs-detail">{loss_curve(watched.losses, total)}{samples}</div>'
    return (
        f'<section class="fs-card fs-job" data-job="{finetune.id}" data-state="{job.state}" '
        f'aria-label="Finetune {escape(finetune.name, quote=True)}">'
        f"{head}{_state_line(finetune, watched, waits_for)}{detail}{facts}</section>"
    )


def sample_strip(finetune_id: str, samples: Sequence[Sample], *, waiting: bool) -> str:
    """The live samples, one after the other over the steps."""
    if not samples:
        says = "Pictures drawn on the way appear here." if waiting else "No pictures were drawn on the way."
        return f'<div class="fs-samples" data-empty><p>{says}</p></div>'
    cells = "".join(
        f'<li><button type="button" data-view="{sample_url(finetune_id, sample.storage_key)}" '
        f'data-says="Step {sample.step:,} · {escape(sample.prompt, quote=True)}">'
        f'<img src="{sample_url(finetune_id, sample.storage_key)}" width="128" height="128" '
        f'alt="Sample after step {sample.step:,}: {escape(sample.prompt, quote=True)}"/></button>'
        f"<span>step {sample.step:,}</span></li>"
        for sample in samples
    )
    return f'<div class="fs-samples"><strong>On the way</strong><ul data-viewer>{cells}</ul></div>'


def finetune_list(finetunes: Sequence[Finetune], opened: str | None) -> str:
    """Recent finetunes, newest first; a click opens one."""
    if not finetunes:
        return parts.empty_state(
            "finetune",
            "No finetunes yet",
            "What you train appears here with its state, and stays after a reload.",
        )
    rows = "".join(_row(finetune, finetune.id == opened) for finetune in finetunes[:SHOWN_FINETUNES])
    return f'<ul class="fs-rows">{rows}</ul>'


def _row(finetune: Finetune, opened: bool) -> str:
    job = finetune.job
    numbers = f"{job.step:,} of {job.total:,}" if job.state == "running" and job.total else ""
    return (
        f'<li><button type="button" data-act="open" data-finetune="{finetune.id}"'
        f"{' aria-current=true' if opened else ''}><strong>{escape(finetune.name)}</strong>"
        f"<span>{escape(finetune.trigger_word)} · {finetune.base_model}</span>{parts.verdict(job)}"
        f"<span class='fs-number'>{numbers}</span><span>{parts.ago(finetune.created_at)}</span></button></li>"
    )


def _state_line(finetune: Finetune, watched: Watched, waits_for: str) -> str:
    job = finetune.job
    if job.state == "failed":
        error = job.error
        return parts.error_box(error.message, error.hint) if error else parts.error_box("It failed.")
    if job.state == "cancelled":
        return '<p class="fs-end">Cancelled. Nothing was kept of it.</p>'
    if job.state == "done":
        took = _took(finetune)
        return (
            f'<div class="fs-end"><p>“{escape(finetune.name)}” is ready.{took} Say '
            f"<b>{escape(finetune.trigger_word)}</b> in a prompt to call it up.</p>"
            f'<a class="fs-button fs-next" href="/generate?model={finetune.id}">'
            f"{icon('generate')}Draw with it</a></div>"
        )
    trains = job.total == finetune.parameters.steps
    return parts.strip(
        job,
        lead=icon("finetune"),
        title=parts.stage_of(job),
        says=waits_for if job.state == "queued" else "" if trains else watched.message,
        unit="steps" if trains else "",
    )


def _took(finetune: Finetune) -> str:
    job = finetune.job
    if job.started_at is None or job.ended_at is None:
        return ""
    return f" It took {parts.duration((job.ended_at - job.started_at).total_seconds())}."


def _delete(finetune: Finetune) -> str:
    what = "Delete it and its LoRA?" if finetune.job.state == "done" else "Delete it?"
    return parts.act("Delete…", "delete", kind="fs-quiet", ask=what, finetune=finetune.id)
