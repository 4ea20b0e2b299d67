"""The Models page: everything that can be drawn with, LoRAs to import and to link, the way to BFL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from fluxsmith.errors import FluxsmithError, NotFoundError
from fluxsmith.services.models import ImportRequest, LinkRequest, Model, PublishGuide, name_for
from fluxsmith.ui import fields, models_view, parts
from fluxsmith.ui.base import BaseUI, Updates, event_data

LORAS, BASES, ALL = "LoRAs", "Base models", "All"
DROP_HEIGHT_PX = 200
_REMEMBER_MODEL = "() => { window.fluxsmith.rememberModel(); }"


class ModelsPage(BaseUI):
    """Widgets and handlers of the page."""

    title = "Models"

    def build(self, blocks: Any) -> None:
        """Lay the page out and wire it, inside the route of `blocks` that is open now."""
        self.opened = gr.State(None)
        with self.frame("What you can draw with: your LoRAs, and the base models they stand on."):
            self.view_error = self.html(elem_classes="fs-slot")
            self.card = self.html(elem_classes="fs-slot")
            with gr.Row(elem_classes="fs-columns"):
                with gr.Column(scale=8, min_width=320, elem_classes="fs-left"):
                    self._build_list()
                    self._build_link()
                with gr.Column(scale=5, min_width=320, elem_classes="fs-right"):
                    self._build_import()
        self._wire(blocks)

    def _build_list(self) -> None:
        with gr.Row(elem_classes="fs-pair fs-filter"):
            self.words = gr.Textbox(
                label="Filter", placeholder="Name, trigger word or base", max_lines=1, elem_id="field-filter"
            )
            self.kind = gr.Radio(
                [LORAS, BASES, ALL],
                value=LORAS,
                label="Show",
                elem_classes="fs-choices",
                elem_id="field-show",
            )
        self.list = self.html(parts.skeleton(4), elem_id="models")

    def _build_import(self) -> None:
        self.html(parts.section("Import a LoRA", "Trained elsewhere, or exported from here."))
        self.drop = gr.File(
            show_label=False,
            label="LoRA",
            height=DROP_HEIGHT_PX,
            elem_id="drop-lora",
            elem_classes="fs-drop fs-drop-lora",
        )
        self.limit = self.html(elem_classes="fs-slot")
        self.name = fields.text(ImportRequest, "name", max_lines=1, placeholder="my-mug")
        self.base = gr.Dropdown(
            choices=[],
            label=fields.field_of(ImportRequest, "base_model").title,
            info=fields.field_of(ImportRequest, "base_model").description,
            filterable=False,
            elem_id="field-base-model",
        )
        self.trigger = fields.text(ImportRequest, "trigger_word", max_lines=1)
        self.import_error = self.html(elem_classes="fs-slot")
        self.take = gr.Button("Import LoRA", variant="primary", size="lg", elem_classes="fs-primary")

    def _build_link(self) -> None:
        self.fold = gr.Accordion(
            "Link a LoRA that BFL keeps", open=False, elem_classes="fs-advanced", elem_id="models-link"
        )
        with self.fold:
            self.remote = fields.text(LinkRequest, "remote_id", max_lines=1, elem_id="link-remote-id")
            self.link_base = gr.Dropdown(
                choices=[], label="Base there", filterable=False, elem_id="link-base-model"
            )
            self.link_name = fields.text(
                LinkRequest, "name", max_lines=1, elem_id="link-name", label="Name here",
                info="Empty for its id.",
            )  # fmt: skip
            self.link_trigger = fields.text(
                LinkRequest, "trigger_word", max_lines=1, elem_id="link-trigger", label="Trigger word there"
            )
            self.link = gr.Button("Link LoRA", elem_id="link-lora")
        self.link_error = self.html(elem_classes="fs-slot")  # an empty slot hides the block that it is in

    def _wire(self, blocks: Any) -> None:
        view = [self.list, self.card, self.opened]
        filters = [self.words, self.kind]
        upload = [self.drop, self.name, self.base, self.trigger]
        linked = [self.remote, self.link_base, self.link_name, self.link_trigger]
        fill = [*view, self.base, self.link_base, self.limit]
        self.on(blocks.load, self.on_load, filters, self.view_error, fill)
        self.on(self.drop.upload, self.on_file, [self.drop, self.name], self.import_error, [self.name])
        for changed in (self.words.change, self.kind.change):
            self.on(changed, self.on_filter, [*filters, self.opened], self.view_error, view)
        shows_another = [
            self.on(
                self.take.click, self.on_import, [*upload, *filters], self.import_error, [*view, *upload]
            ),
            self.on(self.link.click, self.on_link, [*linked, *filters], self.link_error, [*view, *linked]),
        ]
        for part in (self.card, self.list):
            clicked = self.on(
                part.click,
                self.on_click,
                [*filters, self.opened],
                self.view_error,
                [*view, self.fold, self.remote, self.link_base, self.link_trigger],
            )
            shows_another.append(clicked)
        for event in shows_another:
            event.then(None, js=_REMEMBER_MODEL)

    def on_load(self, words: str, kind: str, request: gr.Request) -> Updates:
        """Fill the page; the address may name the model to open."""
        models = self.container.models.list(self.actor())
        named = request.query_params.get("model")
        settings = self.container.settings
        here = [model for model in models if model.kind == "base" and model.provider == "local"]
        there = [model for model in models if model.kind == "base" and model.provider != "local"]
        default = settings.model if any(model.id == settings.model for model in here) else None
        hint = "Export the LoRA at a lower rank or precision, or raise FLUXSMITH_MAX_LORA_MB."
        return {
            self.base: gr.Dropdown(choices=[(one.name, one.id) for one in here], value=default),
            self.link_base: gr.Dropdown(choices=[(one.name, one.id) for one in there]),
            self.limit: parts.too_large(settings.max_lora_mb, hint),
            **self._view(words, kind, named if any(model.id == named for model in models) else None),
        }

    def on_file(self, file: str | None, name: str) -> Updates:
        """Name the LoRA after its file, unless it has a name."""
        return {self.name: name or name_for(Path(file).stem)} if file else {}

    def on_filter(self, words: str, kind: str, opened: str | None) -> Updates:
        """Show what matches."""
        return self._view(words, kind, opened)

    def on_import(
        self, file: str | None, name: str, base: str | None, trigger: str, words: str, kind: str
    ) -> Updates:
        """Check the file and keep it, and open what has become of it."""
        if not file:
            raise NotFoundError("no-file", "There is no file yet.", hint="Drop a .safetensors file above.")
        request = self.parse(ImportRequest, {"name": name, "base_model": base or "", "trigger_word": trigger})
        made = self.container.models.add(self.actor(), request, Path(file))
        return {
            self.drop: None,
            self.name: "",
            self.trigger: "",
            **self._view(words, kind, made.id),
        }

    def on_link(
        self, remote: str, base: str | None, name: str, trigger: str, words: str, kind: str
    ) -> Updates:
        """Name a LoRA that a provider keeps, and open it."""
        if not base:
            raise NotFoundError(
                "no-key", "No provider here keeps LoRAs.", hint="Set FLUXSMITH_BFL_API_KEY first."
            )
        fields_given = {
            "remote_id": remote,
            "base_model": base,
            "name": name or remote,
            "trigger_word": trigger,
        }
        made = self.container.models.link(self.actor(), self.parse(LinkRequest, fields_given))
        return {
            self.remote: "",
            self.link_name: "",
            self.link_trigger: "",
            **self._view(words, kind, made.id),
        }

    def on_click(self, words: str, kind: str, opened: str | None, event: gr.EventData) -> Updates:
        """A click on the opened model or in the list: open, close, delete, go on to link it."""
        data = event_data(event)
        if data.get("act") == "open":
            opened = data.get("model")
        elif data.get("act") == "close":
            opened = None
        elif data.get("act") == "delete":
            self.container.models.delete(self.actor(), data.get("model", ""))
            opened = None
        elif data.get("act") == "link" and opened is not None:
            model = self.container.models.get(self.actor(), opened)
            known = {one.id for one in self.container.models.list(self.actor())}
            there = {self.link_base: data["base"]} if data.get("base") in known else {}
            return {
                self.fold: gr.Accordion(open=True),
                self.remote: data.get("remote", ""),
                self.link_trigger: model.trigger_word or "",
                **there,
                **self._view(words, kind, opened),
            }
        return self._view(words, kind, opened)

    def _view(self, words: str, kind: str, opened: str | None) -> Updates:
        models = self.container.models.list(self.actor())
        shown = [model for model in models if _matches(model, words, kind)]
        shown.sort(key=lambda model: model.kind == "base")  # LoRAs first, each kind in its order
        model = next((one for one in models if one.id == opened), None)
        some_hidden = any(one.kind == "lora" for one in models) or bool(words.strip())
        return {
            self.list: models_view.model_list(shown, opened, any_at_all=some_hidden),
            self.card: models_view.model_card(model, self._guide(model)) if model else "",
            self.opened: model.id if model else None,
        }

    def _guide(self, model: Model) -> PublishGuide | None:
        try:
            return self.container.models.publish_guide(self.actor(), model.id)
        except FluxsmithError:
            return None


def _matches(model: Model, words: str, kind: str) -> bool:
    if kind != ALL and (model.kind == "lora") != (kind == LORAS):
        return False
    texts: Sequence[str] = (model.name, model.trigger_word or "", model.base_model, model.remote_id or "")
    return all(any(word in text.lower() for text in texts) for word in words.lower().split())
