"""The Webhooks page: what was told to whom, with which answer, and sending it again."""

from __future__ import annotations

from typing import Any

import gradio as gr

from fluxsmith.ui import parts, webhooks_view
from fluxsmith.ui.base import BaseUI, Updates, event_data

SHOWN = 50
REFRESH_S = 2.0


class WebhooksPage(BaseUI):
    """Widgets and handlers of the page."""

    title = "Webhooks"

    def build(self, blocks: Any) -> None:
        """Lay the page out and wire it, inside the route of `blocks` that is open now."""
        self.timer = gr.Timer(REFRESH_S, active=False)
        with self.frame("Programs that asked to be told when their task ends, and whether they were."):
            self.view_error = self.html(elem_classes="fs-slot")
            self.list = self.html(parts.skeleton(4), elem_id="webhooks")
        view = [self.list, self.timer]
        self.on(blocks.load, self.on_look, None, self.view_error, view)
        self.on(self.timer.tick, self.on_look, None, self.view_error, view)
        self.on(self.list.click, self.on_send, None, self.view_error, view)

    def on_look(self) -> Updates:
        """Show how things stand; go on looking while anything is under way."""
        webhooks = self.container.webhooks.list(self.actor(), SHOWN)
        under_way = any(one.state in ("waiting", "sending") for one in webhooks)
        return {
            self.list: webhooks_view.webhook_list(webhooks),
            self.timer: gr.Timer(active=under_way),
        }

    def on_send(self, event: gr.EventData) -> Updates:
        """Send one again."""
        self.container.webhooks.send_again(self.actor(), event_data(event).get("webhook", ""))
        return self.on_look()
