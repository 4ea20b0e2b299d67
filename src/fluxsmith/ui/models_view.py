"""How the Models page shows things: the list of models, and one of them opened."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from fluxsmith.services.models import Model, PublishGuide
from fluxsmith.ui import parts
from fluxsmith.ui.icons import icon

ORIGINS = {
    "base": "Base model",
    "finetune": "Trained here",
    "import": "Imported",
    "link": "Linked",
}


def model_list(models: Sequence[Model], opened: str | None, *, any_at_all: bool) -> str:
    """Models, LoRAs before base models; a click opens one.

    Args:
        models: those that the filter lets through.
        opened: the id of the one that is open.
        any_at_all: whether there are LoRAs that the filter hides.
    """
    if not models:
        if any_at_all:
            return parts.empty_state("models", "Nothing of that name", "Change the filter to see the others.")
        return parts.empty_state(
            "models",
            "No LoRAs yet",
            "What you train, import or link appears here.",
            f'<a class="fs-button" href="/">{icon("finetune")}Train one</a>',
        )
    rows = "".join(_row(model, model.id == opened) for model in models)
    return f'<ul class="fs-rows fs-models">{rows}</ul>'


def model_card(model: Model, guide: PublishGuide | None) -> str:
    """One model opened: what it is, what one does with it, and the way to BFL where there is one."""
    return (
        f'<section class="fs-card fs-model" data-model="{escape(model.id, quote=True)}" '
        f'aria-label="Model {escape(model.name, quote=True)}">'
        f'<div class="fs-card-head"><div><h2>{escape(model.name)}</h2>'
        f'<span class="fs-verdict">{icon("models")}{ORIGINS[model.origin]}</span></div>'
        f'<div class="fs-acts">{_delete(model)}'
        f"{parts.act('Close', 'close', icon_name='close', kind='fs-quiet')}</div></div>"
        f'<div class="fs-end"><p>{_says(model)}</p><div class="fs-acts">{_actions(model)}</div></div>'
        f"{_guide(guide) if guide else ''}{parts.facts(_facts(model))}</section>"
    )


def size_of(size_bytes: int | None) -> str:
    """A file's size as people say it."""
    if size_bytes is None:
        return ""
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:,.1f} kB"


def _row(model: Model, opened: bool) -> str:
    made = parts.ago(model.created_at) if model.created_at else ""
    words = " · ".join(part for part in (model.trigger_word, model.base_model) if part)
    return (
        f'<li><button type="button" data-act="open" data-model="{escape(model.id, quote=True)}"'
        f"{' aria-current=true' if opened else ''}><strong>{escape(model.name)}</strong>"
        f"<span>{escape(words)}</span><span>{ORIGINS[model.origin]}</span>"
        f"<span class='fs-number'>{size_of(model.size_bytes)}</span><span>{made}</span></button></li>"
    )


def _says(model: Model) -> str:
    if model.kind == "base":
        able = [("draws" if model.drawable else ""), ("can be trained" if model.trainable else "")]
        return f"It {' and '.join(one for one in able if one)}."
    if model.trigger_word:
        return f"Say <b>{escape(model.trigger_word)}</b> in a prompt to call it up."
    return "It has no trigger word: it acts on every prompt."


def _actions(model: Model) -> str:
    name = escape(model.id, quote=True)
    draw = f'<a class="fs-button fs-next" href="/generate?model={name}">{icon("generate")}Draw with it</a>'
    file = f'<a class="fs-button" href="/api/models/{name}/file" download>{icon("download")}Download</a>'
    here = model.origin in ("finetune", "import")
    return (draw if model.drawable else "") + (file if here else "")


def _guide(guide: PublishGuide) -> str:
    steps = "".join(f"<li>{escape(step)}</li>" for step in guide.steps)
    link = parts.act("Link its id…", "link", icon_name="link", remote=guide.remote_id, base=guide.base)
    return (
        f'<details class="fs-guide" data-fold="{guide.model_id}">'
        f"<summary>Publish: draw with it at BFL</summary><ol>{steps}</ol>"
        f'<div class="fs-acts">{link}</div></details>'
    )


def _facts(model: Model) -> list[tuple[str, str]]:
    pairs = [
        ("Id", model.remote_id or (model.name if model.origin == "import" else model.id)),
        ("Base", model.base_model if model.kind == "lora" else ""),
        ("Kept by", "" if model.provider == "local" else model.provider),
        ("File", size_of(model.size_bytes)),
        ("SHA-256", model.sha256[:12] + "…" if model.sha256 else ""),
        ("Can do", ", ".join(model.capabilities)),
        ("Licence", model.license or ""),
    ]
    return [(name, value) for name, value in pairs if value]


def _delete(model: Model) -> str:
    if model.kind == "base":
        return ""
    return parts.act("Delete…", "delete", kind="fs-quiet", ask="Delete this LoRA?", model=model.id)
