"""Parts that every page shows in the same way, as HTML: headings, errors, empty states, the strip.

Pure functions from objects to text. Everything that a person or a file could have written is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from fluxsmith.core.jobs import Job
from fluxsmith.ui.icons import icon

STATE_WORDS = {
    "queued": "Waiting",
    "running": "Running",
    "done": "Finished",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
NAVIGATION = (
    ("Finetune", "", "finetune"),
    ("Models", "models", "models"),
    ("Generate", "generate", "generate"),
    ("Webhooks", "webhooks", "webhooks"),
)


def navigation(active: str) -> str:
    """The rail at the left, or the bar at the bottom of a phone."""
    links = "".join(
        f'<a href="/{path}"{" aria-current=page" if title == active else ""}>{icon(name)}'
        f"<span>{title}</span></a>"
        for title, path, name in NAVIGATION
    )
    mark = '<span class="fs-mark" aria-hidden="true"></span>'
    return f'<nav class="fs-rail" aria-label="Pages">{mark}{links}</nav>'


def page_title(title: str, says: str) -> str:
    """The one heading of a page and a line that says what it is for."""
    return f'<header class="fs-title"><h1>{escape(title)}</h1><p>{escape(says)}</p></header>'


def section(title: str, says: str = "") -> str:
    """The heading of a section."""
    note = f"<p>{escape(says)}</p>" if says else ""
    return f'<div class="fs-section"><h2>{escape(title)}</h2>{note}</div>'


def error_box(message: str, hint: str = "") -> str:
    """What happened and what to do, in the words that the API and the shell use too."""
    more = f"<p>{escape(hint)}</p>" if hint else ""
    return (
        f'<div class="fs-error" role="alert">{icon("failed")}<div>'
        f"<strong>{escape(message)}</strong>{more}</div></div>"
    )


def too_large(limit_mb: int, hint: str) -> str:
    """The words for files above a limit, unseen; studio.js shows them before such files travel."""
    words = error_box(f"The request is larger than {limit_mb} MB.", hint)
    return f'<template class="fs-too-large" data-limit="{limit_mb * 1_000_000}">{words}</template>'


def empty_state(icon_name: str, title: str, says: str, action: str = "") -> str:
    """What would be here, and how it comes to be."""
    return (
        f'<div class="fs-empty">{icon(icon_name)}<strong>{escape(title)}</strong>'
        f"<p>{escape(says)}</p>{action}</div>"
    )


def skeleton(rows: int) -> str:
    """Lines that hold the place of something that is being fetched."""
    return '<div class="fs-skeleton" aria-hidden="true">' + "<i></i>" * rows + "</div>"


def act(words: str, action: str, *, icon_name: str = "", kind: str = "", **data: str) -> str:
    """A button in HTML; the page hears `action` and `data`."""
    pairs = "".join(f' data-{key}="{escape(value, quote=True)}"' for key, value in data.items())
    lead = icon(icon_name) if icon_name else ""
    return (
        f'<button type="button" class="fs-button {kind}" data-act="{action}"{pairs}>'
        f"{lead}{escape(words)}</button>"
    )


def verdict(job: Job) -> str:
    """The state of a job as a word with an icon."""
    return (
        f'<span class="fs-verdict" data-state="{job.state}">{icon(job.state)}{STATE_WORDS[job.state]}</span>'
    )


def strip(job: Job, *, lead: str, title: str, says: str, unit: str) -> str:
    """Long work, the same everywhere: what, stage, bar, step and time left, cancel.

    Args:
        job: the work.
        lead: an icon.
        title: what is done, first line.
        says: more about it, second line.
        unit: what the job's steps are steps of.
    """
    percent = round(100 * job.progress, 1)
    countable = job.total > 1
    step = f"{job.step:,} of {job.total:,} {unit}" if countable else ""
    timed = job.state == "running" and job.eta_s is not None
    left = f'<span title="{job.eta_s or 0:.0f} s">{time_left(job.eta_s or 0)}</span>' if timed else ""
    bar = (
        f'<div class="fs-bar" role="progressbar" aria-label="{escape(title, quote=True)}"'
        + (
            f' aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}"'
            if countable
            else " data-unknown"
        )
        + f'><i style="width:{percent}%"></i></div>'
    )
    return (
        f'<div class="fs-strip" data-state="{job.state}">{lead}<div class="fs-strip-what">'
        f"<strong>{escape(title)}</strong><span>{escape(says)}</span></div>{bar}"
        f'<div class="fs-strip-numbers"><span>{step}</span>{left}</div>'
        f"{act('Cancel', 'cancel', job=job.id)}</div>"
    )


def stage_of(job: Job) -> str:
    """What the job does now, as the start of a sentence."""
    words = job.stage or ("Starting" if job.state == "running" else "Waiting for its turn")
    return words[:1].upper() + words[1:]


def time_left(seconds: float) -> str:
    """Seconds as people say them: '40 s left', '3 min left', '2 h 10 min left'."""
    return f"{duration(seconds)} left"


def duration(seconds: float) -> str:
    """A length of time, as exact as one cares about."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def ago(then: datetime, now: datetime | None = None) -> str:
    """How long ago something was; the exact time on hover."""
    at = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    words = "just now" if seconds < 45 else f"{duration(seconds)} ago"
    if seconds > 36 * 3600:
        words = at.strftime("%-d %b %Y")
    return f'<time datetime="{at.isoformat()}" title="{at:%Y-%m-%d %H:%M:%S} UTC">{words}</time>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values in one quiet line."""
    return (
        '<dl class="fs-facts">'
        + "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
        + "</dl>"
    )
