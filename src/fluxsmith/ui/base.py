"""What every page stands on: who asks, how input is checked, how refusals are shown.

A page holds widgets and calls services; it knows no SQL, files or models. Services are reached
through the container inside event handlers only, so that building the pages makes none of them.
"""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import gradio as gr
from pydantic import BaseModel

from fluxsmith.container import ServiceContainer
from fluxsmith.core.actor import LOCAL_OWNER, Actor
from fluxsmith.core.jobs import Job
from fluxsmith.core.validation import ValidationService
from fluxsmith.errors import FluxsmithError
from fluxsmith.ui import parts

Schema = TypeVar("Schema", bound=BaseModel)
Updates = dict[Any, Any]

# Clicks on [data-act] and edits of [data-edit] inside an HTML part reach the page's handlers with
# the element's data; the element is marked at once, so that one sees that it was heard.
_LISTEN = """
element.addEventListener('click', (event) => {
  const hit = event.target.closest('[data-act]');
  if (!hit || !element.contains(hit)) return;
  hit.classList.add('fs-heard');
  setTimeout(() => hit.classList.remove('fs-heard'), 600);
  trigger('click', {...hit.dataset});
});
element.addEventListener('change', (event) => {
  const hit = event.target.closest('[data-edit]');
  if (hit) trigger('input', {...hit.dataset, value: hit.value});
});
"""

_log = logging.getLogger(__name__)


class BaseUI:
    """Common ground of the pages; one instance a page and server, so it holds no visitor's state."""

    title = ""

    def __init__(self, container: ServiceContainer) -> None:
        self.container = container
        self._validation = ValidationService()

    def actor(self) -> Actor:
        """Who asks. One owner on loopback; the only place to change when there are accounts."""
        return LOCAL_OWNER

    def parse(self, schema: type[Schema], values: dict[str, Any]) -> Schema:
        """Check what a form holds; refusals read as they do over HTTP and in the shell."""
        return self._validation.parse(schema, values)

    def html(self, value: str = "", **more: Any) -> Any:
        """A part in our own HTML, whose buttons and fields reach `click` and `input` handlers."""
        return gr.HTML(value, apply_default_css=False, js_on_load=_LISTEN, **more)

    @contextmanager
    def frame(self, says: str) -> Iterator[None]:
        """The page's frame: navigation, title, one column in the middle."""
        self.html(parts.navigation(self.title), elem_classes="fs-navigation")
        with gr.Column(elem_classes="fs-page"):
            self.html(parts.page_title(self.title, says))
            yield

    def on(
        self,
        event: Any,
        handler: Callable[..., Updates],
        inputs: Any,
        box: Any,
        outputs: Sequence[Any],
        *,
        refused: Updates | None = None,
    ) -> Any:
        """Let `handler` answer an event; its refusals are shown in `box`, without Gradio's overlays.

        The answer comes back with the request. Gradio's queue would send it over a stream that closes
        when nothing is pending, and an event that is asked just then is never answered.

        Args:
            event: the widget's event, such as `button.click`.
            handler: takes the inputs' values and returns what changes.
            inputs: widgets whose values the handler gets.
            box: the part that shows what went wrong; emptied when nothing did.
            outputs: what the handler may change, besides the box.
            refused: what changes when the handler fails, besides the box.
        """

        @functools.wraps(handler)
        def safe(*args: Any) -> Updates:
            try:
                return {box: ""} | handler(*args)
            except FluxsmithError as error:
                return {box: parts.error_box(error.message, error.hint)} | (refused or {})
            except Exception:  # noqa: BLE001 - the edge of the page: the visitor gets an id, the log the rest
                return {box: self.unexpected()} | (refused or {})

        return event(
            safe,
            inputs,
            [box, *outputs],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )

    def waits_for(self, job: Job) -> str:
        """Why nobody takes a queued job up now, in words; empty if it only waits for others."""
        if job.state != "queued" or self.container.jobs.worker_ready():
            return ""
        failing = [worker.detail for worker in self.container.jobs.workers() if worker.state == "failing"]
        return failing[0] if failing else "The worker is starting"

    def unexpected(self) -> str:
        """Log the exception being handled and say so in words that lead to the log line."""
        mark = uuid.uuid4().hex[:8]
        _log.exception("The page failed (%s).", mark)
        return parts.error_box(
            "Something failed inside fluxsmith.", f"The server's log has the details under {mark}."
        )


def event_data(event: Any) -> dict[str, str]:
    """What the clicked or edited element carried."""
    return {str(key): str(value) for key, value in dict(event._data or {}).items()}
