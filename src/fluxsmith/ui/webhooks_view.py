"""How the Webhooks page shows things: each webhook, how far it is, and its attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from fluxsmith.services.webhooks import Webhook
from fluxsmith.ui import parts
from fluxsmith.ui.icons import icon

STATES = {
    "waiting": ("queued", "Waits for its task"),
    "sending": ("running", "Sending"),
    "delivered": ("done", "Delivered"),
    "failed": ("failed", "Given up"),
}


def webhook_list(webhooks: Sequence[Webhook], now: datetime | None = None) -> str:
    """All webhooks, newest first; each opens to its attempts."""
    if not webhooks:
        return parts.empty_state(
            "webhooks",
            "No webhooks yet",
            "A request over HTTP that has a webhook_url is told of its end; what was sent appears here.",
        )
    at = now or datetime.now(UTC)
    return f'<ul class="fs-hooks">{"".join(_webhook(one, at) for one in webhooks)}</ul>'


def _webhook(webhook: Webhook, now: datetime) -> str:
    kind, words = STATES[webhook.state]
    if webhook.state == "sending" and webhook.attempts:
        words = "Trying again"
    again = ""
    if webhook.state != "waiting":
        again = parts.act("Send again", "send", icon_name="reuse", webhook=webhook.id)
    return (
        f'<li data-webhook="{webhook.id}" data-state="{webhook.state}"><div class="fs-hook-head">'
        f"<strong>{escape(webhook.url)}</strong>"
        f'<span class="fs-verdict" data-state="{kind}">{icon(kind)}{words}</span></div>'
        f"<p>{_says(webhook, now)}</p>"
        f'<div class="fs-hook-foot">{_attempts(webhook)}{again}</div></li>'
    )


def _says(webhook: Webhook, now: datetime) -> str:
    """What it is for, and what comes next."""
    told = [
        f"Task <code>{escape(webhook.task_id[:8])}</code>",
        f"asked for {parts.ago(webhook.created_at, now)}",
    ]
    told.append("signed" if webhook.signed else "not signed")
    if webhook.state == "sending" and webhook.next_at is not None:
        wait_s = (webhook.next_at - now).total_seconds()
        when = f"in {parts.duration(wait_s)}" if wait_s > 1 else "now"
        told.append(f'next try <time title="{webhook.next_at:%Y-%m-%d %H:%M:%S} UTC">{when}</time>')
    return " · ".join(told)


def _attempts(webhook: Webhook) -> str:
    if not webhook.attempts:
        return '<p class="fs-hook-none">Not sent yet.</p>'
    rows = "".join(
        f"<tr><td>{attempt.number}</td><td>{parts.ago(attempt.at)}</td>"
        f"<td>{attempt.status_code if attempt.status_code is not None else '–'}</td>"
        f"<td>{attempt.duration_ms:,} ms</td><td>{escape(attempt.error or '')}</td></tr>"
        for attempt in reversed(webhook.attempts)
    )
    last = webhook.attempts[-1]
    answer = (
        f"answered {last.status_code}" if last.status_code is not None else escape(last.error or "no answer")
    )
    count = len(webhook.attempts)
    return (
        f'<details data-fold="{webhook.id}">'
        f"<summary>{count} {'attempt' if count == 1 else 'attempts'}, the last one {answer}</summary>"
        "<table><thead><tr><th>No.</th><th>When</th><th>Answer</th><th>Took</th><th>What went wrong</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></details>"
    )
