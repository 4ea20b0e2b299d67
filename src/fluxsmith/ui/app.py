"""Builds the studio out of its pages, and hangs it into a web application.

Building makes no service and imports no torch: pages reach for services when somebody opens them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from fluxsmith.container import ServiceContainer
from fluxsmith.ui.base import BaseUI
from fluxsmith.ui.finetune import FinetunePage
from fluxsmith.ui.generate import GeneratePage
from fluxsmith.ui.media import pictures_router
from fluxsmith.ui.models import ModelsPage
from fluxsmith.ui.theme import studio_theme
from fluxsmith.ui.webhooks import WebhooksPage

_HERE = Path(__file__).parent
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' "
    "height='32' rx='7' fill='%23201d1a'/%3E%3Ccircle cx='16' cy='16' r='7' fill='%23f98a42'/%3E%3C/svg%3E"
)
_UPLOAD_KEPT_S = 3600  # copies that Gradio makes of uploads; datasets have their own by then


def build_studio(container: ServiceContainer) -> Any:
    """All pages as one Gradio application; `mount_studio` also gives it its looks."""
    finetune, models, generate = FinetunePage(container), ModelsPage(container), GeneratePage(container)
    webhooks = WebhooksPage(container)
    with gr.Blocks(
        title="fluxsmith", analytics_enabled=False, delete_cache=(_UPLOAD_KEPT_S, _UPLOAD_KEPT_S)
    ) as blocks:
        finetune.build(blocks)
    with blocks.route(models.title, "models"):
        models.build(blocks)
    with blocks.route(generate.title, "generate"):
        generate.build(blocks)
    with blocks.route(webhooks.title, "webhooks"):
        webhooks.build(blocks)
    return blocks


def mount_studio(app: FastAPI, container: ServiceContainer) -> None:
    """Serve the studio at `/`, after all other routes of `app` have been added."""
    app.include_router(pictures_router(BaseUI(container)))
    script = (_HERE / "studio.js").read_text(encoding="utf-8")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="SSR mode is not supported")  # nor wanted
        _mount(app, container, script)


def _mount(app: FastAPI, container: ServiceContainer, script: str) -> None:
    gr.mount_gradio_app(
        app,
        build_studio(container),
        path="/",
        theme=studio_theme(),
        css_paths=[_HERE / "studio.css"],
        head=f'<link rel="icon" href="{_ICON}"><script>{script}</script>',
        max_file_size=f"{max(container.settings.max_upload_mb, container.settings.max_lora_mb)}mb",
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
    )
