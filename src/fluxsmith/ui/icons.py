"""The studio's icons: one set, 24 × 24, drawn with a stroke of the text's colour, inlined as SVG.

Drawn for fluxsmith; each name says what the icon means, not what it depicts.
"""

from __future__ import annotations

_PATHS = {
    "finetune": '<path d="M4 6h10M18 6h2M4 12h2M10 12h10M4 18h7M15 18h5"/><circle cx="16" cy="6" r="2"/>'
    '<circle cx="8" cy="12" r="2"/><circle cx="13" cy="18" r="2"/>',
    "generate": '<rect x="4" y="4" width="16" height="16" rx="2"/><path d="M4 16l4.5-4.5L13 16l3-3 4 4"/>'
    '<circle cx="15" cy="9" r="1.5"/>',
    "models": '<path d="M12 3.5l8 4.5-8 4.5L4 8zM4 12l8 4.5 8-4.5M4 16l8 4.5 8-4.5"/>',
    "link": '<path d="M10 14a4 4 0 0 0 5.7 0l3-3a4 4 0 0 0-5.7-5.7l-1 1"/>'
    '<path d="M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1"/>',
    "webhooks": '<path d="M4 12h11M11 7.5l5 4.5-5 4.5"/><path d="M20 5v14"/>',
    "add": '<path d="M12 5v14M5 12h14"/>',
    "close": '<path d="M6 6l12 12M18 6L6 18"/>',
    "download": '<path d="M12 4v11M7 11l5 5 5-5M5 20h14"/>',
    "reuse": '<path d="M4 11a8 8 0 0 1 14-4l2 2M20 4v5h-5M20 13a8 8 0 0 1-14 4l-2-2M4 20v-5h5"/>',
    "done": '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
    "failed": '<circle cx="12" cy="12" r="8.5"/><path d="M12 7.5v5.5M12 16.2v.3"/>',
    "cancelled": '<circle cx="12" cy="12" r="8.5"/><path d="M8.5 12h7"/>',
    "queued": '<circle cx="12" cy="12" r="8.5"/><path d="M12 7.5V12l3 2"/>',
    "running": '<path d="M12 3.5a8.5 8.5 0 1 1-8.5 8.5"/>',
    "previous": '<path d="M15 5l-7 7 7 7"/>',
    "next": '<path d="M9 5l7 7-7 7"/>',
    "delete": '<path d="M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.5 11v5M13.5 11v5"/>',
    "pictures": '<rect x="7" y="7" width="13" height="13" rx="2"/><path d="M4 15V6a2 2 0 0 1 2-2h9"/>',
}


def icon(name: str) -> str:
    """The icon as inline SVG, hidden from screen readers: the words beside it say it."""
    return (
        '<svg class="fs-icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.6" '
        f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{_PATHS[name]}</svg>'
    )
