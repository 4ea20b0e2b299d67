"""The Finetune page: choose pictures and words, start, watch, and go on to draw.

Everything shown comes from the services, nothing from the browser: a page that is reloaded, or
opened on another device, finds the running finetune again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr

from fluxsmith.errors import NotFoundError
from fluxsmith.providers.base import FinetuneParameters
from fluxsmith.samples import SAMPLE_TRIGGER_WORD
from fluxsmith.services.datasets.schema import Dataset, Upload
from fluxsmith.services.finetuning import Finetune, FinetuneRequest
from fluxsmith.services.finetuning.captions import training_caption
from fluxsmith.ui import fields, finetune_view, parts
from fluxsmith.ui.base import BaseUI, Updates, event_data
from fluxsmith.ui.watch import Watched

MODES = {"product": "A thing", "character": "A person", "style": "A style", "general": "Anything"}
COMMON = ("steps", "finetune_type")
ADVANCED = tuple(name for name in FinetuneParameters.model_fields if name not in COMMON)
REFRESH_S = 1.0
DROP_HEIGHT_PX = 296
_REMEMBER_JOB = "() => { window.fluxsmith.rememberJob(); }"


class FinetunePage(BaseUI):
    """Widgets and handlers of the page."""

    title = "Finetune"

    def build(self, blocks: Any) -> None:
        """Lay the page out and wire it, inside the route of `blocks` that is open now."""
        self.dataset_id = gr.State(None)
        self.opened = gr.State(None)
        self.watched = gr.State(None)
        self.timer = gr.Timer(REFRESH_S, active=False)
        with self.frame("Teach a model your pictures. A word of your choice calls them up."):
            self.view_error = self.html(elem_classes="fs-slot")
            self.card = self.html(elem_classes="fs-slot")
            with gr.Row(elem_classes="fs-columns"):
                with gr.Column(scale=7, min_width=320, elem_classes="fs-left"):
                    self._build_pictures()
                with gr.Column(scale=5, min_width=320, elem_classes="fs-right"):
                    self._build_form()
            self.html(parts.section("Recent finetunes"))
            self.recent = self.html(parts.skeleton(3))
        self._wire(blocks)

    def _build_pictures(self) -> None:
        self.html(parts.section("Pictures", "5 to 20 of one thing, from different sides, do well."))
        self.picture_error = self.html(elem_classes="fs-slot")
        self.drop = gr.File(
            file_count="multiple",
            show_label=False,
            label="Pictures",
            height=DROP_HEIGHT_PX,
            elem_id="drop",
            elem_classes="fs-drop",
        )
        self.pictures = self.html(parts.skeleton(1))
        self.advice = self.html(elem_classes="fs-slot")

    def _build_form(self) -> None:
        self.name = fields.text(FinetuneRequest, "name", info=None, placeholder="My mug", max_lines=1)
        self.trigger = fields.text(FinetuneRequest, "trigger_word", max_lines=1)
        self.mode = fields.choice(FinetuneRequest, "mode", MODES, elem_classes="fs-choices")
        self.base = gr.Dropdown(
            choices=[fields.default_of(FinetuneRequest, "base_model")],
            value=fields.default_of(FinetuneRequest, "base_model"),
            label=fields.field_of(FinetuneRequest, "base_model").title,
            info=fields.field_of(FinetuneRequest, "base_model").description,
            filterable=False,
            elem_id="field-base-model",
        )
        self.parameters: dict[str, Any] = {
            "steps": fields.number(FinetuneParameters, "steps"),
            "finetune_type": fields.choice(
                FinetuneParameters,
                "finetune_type",
                {"lora": "LoRA", "full": "Full"},
                elem_classes="fs-choices",
            ),
        }
        with gr.Accordion("Advanced", open=False, elem_classes="fs-advanced", elem_id="finetune-advanced"):
            self.captioning = fields.switch(FinetuneRequest, "captioning")
            with gr.Column(elem_classes="fs-two"):
                for name in ADVANCED:
                    self.parameters[name] = _parameter(name)
        self.cost_usd = gr.State(None)
        self.accepts = gr.Checkbox(visible=False, label="", elem_id="field-accept-cost")
        self.form_error = self.html(elem_classes="fs-slot")
        self.start = gr.Button("Start finetune", variant="primary", size="lg", elem_classes="fs-primary")

    def _wire(self, blocks: Any) -> None:
        view = [self.card, self.recent, self.timer, self.opened, self.watched]
        shown = [self.pictures, self.drop, self.dataset_id, self.name]
        words = [self.trigger, self.mode, self.captioning]
        form = [self.dataset_id, self.name, self.trigger, self.mode, self.base, self.captioning]
        form += [self.accepts, self.cost_usd, *self.parameters.values()]

        self.on(blocks.load, self.on_load, None, self.view_error, [*view, self.pictures, self.base])
        watch = [self.opened, self.watched]
        self.on(self.timer.tick, self.on_tick, watch, self.view_error, view)
        uploaded = self.on(
            self.drop.upload,
            self.on_upload,
            [self.drop, self.name, *words],
            self.picture_error,
            shown,
            refused={self.drop: None},
        )
        click = [self.dataset_id, self.name, *words]
        chosen = [*shown, self.trigger]
        picked = self.on(self.pictures.click, self.on_pictures, click, self.picture_error, chosen)
        self.on(self.pictures.input, self.on_caption, [self.dataset_id], self.picture_error, [])
        for changed in (uploaded.then, picked.then, self.base.change):
            self.on(changed, self.on_set, [self.dataset_id, self.base], self.advice, [])
        for changed in (self.trigger.blur, self.mode.change, self.captioning.change):
            self.on(changed, self.on_words, [self.dataset_id, *words], self.picture_error, [self.pictures])
        priced = [self.base, self.parameters["steps"]]
        cost = [self.accepts, self.cost_usd]
        for changed in (self.base.change, self.parameters["steps"].change):
            self.on(changed, self.on_priced, priced, self.form_error, cost)
        shows_another = [self.on(self.start.click, self.on_start, form, self.form_error, view)]
        for part in (self.card, self.recent):
            shows_another.append(self.on(part.click, self.on_card, watch, self.view_error, view))
        for event in shows_another:
            event.then(None, js=_REMEMBER_JOB)

    def on_load(self, request: gr.Request) -> Updates:
        """Fill the page: the running finetune, or the one that the address names."""
        bases = [
            (model.name, model.id) for model in self.container.models.list(self.actor()) if model.trainable
        ]
        finetunes = self.container.finetuning.list(self.actor())
        named = request.query_params.get("job")
        running = (finetune.id for finetune in finetunes if not finetune.job.ended)
        opened = named if any(finetune.id == named for finetune in finetunes) else next(running, None)
        default = self.container.settings.model
        bases = bases or [(default, default)]  # starting says what is wrong with it
        chosen = default if any(default == key for _, key in bases) else bases[0][1]
        return {
            self.pictures: self._sets(),
            self.base: gr.Dropdown(choices=bases, value=chosen),
            **self._view(finetunes, opened, None),
        }

    def on_tick(self, opened: str | None, watched: Watched | None) -> Updates:
        """Show what is new."""
        return self._view(self.container.finetuning.list(self.actor()), opened, watched)

    def on_upload(
        self, files: Sequence[str] | None, name: str, trigger: str, mode: str, captioning: bool
    ) -> Updates:
        """Import the pictures, captions or zip that were dropped: all of them or none."""
        paths = [Path(file) for file in files or ()]
        try:
            dataset = self.container.datasets.create(
                self.actor(), _set_name(paths), [Upload(path.name, path) for path in paths]
            )
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
            raise
        return self._chosen(dataset, name, trigger, mode, captioning)

    def on_pictures(
        self,
        dataset_id: str | None,
        name: str,
        trigger: str,
        mode: str,
        captioning: bool,
        event: gr.EventData,
    ) -> Updates:
        """A click among the pictures: one is left out or brought back, a set is chosen, others are wanted."""
        data = event_data(event)
        act, image_id = data.get("act"), data.get("image", "")
        if act == "leave-out":
            dataset = self.container.datasets.leave_out(self.actor(), dataset_id or "", image_id)
            return {self.pictures: _grid(dataset, trigger, mode, captioning, left_out=image_id)}
        if act == "bring-back":
            dataset = self.container.datasets.bring_back(self.actor(), dataset_id or "", image_id)
            return {self.pictures: _grid(dataset, trigger, mode, captioning)}
        if act == "sample":
            sample = self.container.datasets.sample(self.actor())
            return {
                self.trigger: SAMPLE_TRIGGER_WORD,
                **self._chosen(sample, name or SAMPLE_TRIGGER_WORD, SAMPLE_TRIGGER_WORD, mode, captioning),
            }
        if act == "use":
            dataset = self.container.datasets.get(self.actor(), data.get("dataset", ""))
            return self._chosen(dataset, name, trigger, mode, captioning)
        return {
            self.pictures: self._sets(),
            self.drop: gr.File(value=None, visible=True),
            self.dataset_id: None,
        }

    def on_caption(self, dataset_id: str | None, event: gr.EventData) -> Updates:
        """Keep an edited caption."""
        data = event_data(event)
        if dataset_id:
            self.container.datasets.set_caption(
                self.actor(), dataset_id, data.get("image", ""), data.get("value") or None
            )
        return {}

    def on_set(self, dataset_id: str | None, base: str) -> Updates:
        """Say what in the chosen set would harm a LoRA of the chosen model."""
        if not dataset_id:
            return {}
        verdicts = self.container.finetuning.check_pictures(self.actor(), dataset_id, base)
        return {self.advice: finetune_view.advice(dataset_id, verdicts)}

    def on_words(self, dataset_id: str | None, trigger: str, mode: str, captioning: bool) -> Updates:
        """Show what pictures without words of their own would be trained with."""
        if not dataset_id:
            return {}
        dataset = self.container.datasets.get(self.actor(), dataset_id)
        return {self.pictures: _grid(dataset, trigger, mode, captioning)}

    def on_priced(self, base: str, steps: float | None) -> Updates:
        """Show what the finetune would cost, to be accepted anew whenever that changes."""
        quote = self.container.finetuning.quote(base, int(steps or 0))
        return {
            self.accepts: gr.Checkbox(
                value=False,
                visible=quote.cost_usd is not None,
                label=f"Pay {quote.cost_usd or 0:.2f} USD",
                info=quote.words,
            ),
            self.cost_usd: quote.cost_usd,
        }

    def on_start(
        self,
        dataset_id: str | None,
        name: str,
        trigger: str,
        mode: str,
        base: str,
        captioning: bool,
        accepts: bool,
        cost_usd: float | None,
        *values: Any,
    ) -> Updates:
        """Start the finetune and open it."""
        if not dataset_id:
            raise NotFoundError(
                "no-pictures", "There are no pictures yet.", hint="Drop some above, or use the sample set."
            )
        parameters = {key: fields.given(value) for key, value in zip(self.parameters, values, strict=True)}
        parameters["sample_prompts"] = _lines(parameters["sample_prompts"])
        request = self.parse(
            FinetuneRequest,
            {
                "dataset_id": dataset_id,
                "name": name,
                "trigger_word": trigger,
                "mode": mode,
                "captioning": captioning,
                "base_model": base,
                "parameters": parameters,
                "accepted_cost_usd": cost_usd if accepts else None,
            },
        )
        finetune = self.container.finetuning.start(self.actor(), request)
        return self._view(self.container.finetuning.list(self.actor()), finetune.id, None)

    def on_card(self, opened: str | None, watched: Watched | None, event: gr.EventData) -> Updates:
        """A click on the opened finetune or in the list: cancel, close, delete, open."""
        data = event_data(event)
        if data.get("act") == "cancel":
            self.container.finetuning.cancel(self.actor(), data.get("job", ""))
        elif data.get("act") == "close":
            opened = None
        elif data.get("act") == "delete":
            self.container.finetuning.delete(self.actor(), data.get("finetune", ""))
            opened = None
        elif data.get("act") == "open":
            opened = data.get("finetune")
        return self._view(self.container.finetuning.list(self.actor()), opened, watched)

    def _view(self, finetunes: Sequence[Finetune], opened: str | None, watched: Watched | None) -> Updates:
        finetune = next((finetune for finetune in finetunes if finetune.id == opened), None)
        card = ""
        if finetune is not None:
            if watched is None or watched.finetune_id != finetune.id:
                watched = Watched(finetune.id)
            events = self.container.finetuning.events(self.actor(), finetune.id, watched.seq)
            watched = watched.after(events)
            card = finetune_view.finetune_card(finetune, watched, self.waits_for(finetune.job))
        return {
            self.card: card,
            self.recent: finetune_view.finetune_list(finetunes, opened),
            self.timer: gr.Timer(active=any(not finetune.job.ended for finetune in finetunes)),
            self.opened: opened,
            self.watched: watched,
        }

    def _sets(self) -> str:
        datasets = self.container.datasets.list(self.actor())
        return finetune_view.set_choices(datasets, self.container.settings.max_upload_mb)

    def _chosen(self, dataset: Dataset, name: str, trigger: str, mode: str, captioning: bool) -> Updates:
        return {
            self.pictures: _grid(dataset, trigger, mode, captioning),
            self.drop: gr.File(value=None, visible=False),
            self.dataset_id: dataset.id,
            self.name: name.strip() or dataset.name,
        }


def _grid(dataset: Dataset, trigger: str, mode: Any, captioning: bool, left_out: str | None = None) -> str:
    captions = [training_caption(None, trigger, mode, captioning) for _ in dataset.images]
    return finetune_view.picture_grid(dataset, captions, left_out)


def _set_name(paths: Sequence[Path]) -> str:
    if len(paths) == 1:
        return paths[0].stem.replace("_", " ").strip() or "Pictures"
    return f"Pictures of {datetime.now():%-d %b, %H:%M}"


def _lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


def _parameter(name: str) -> Any:
    if name == "sample_prompts":
        return fields.text(FinetuneParameters, name, value="", lines=2, placeholder="One prompt a line")
    if fields.choices_of(FinetuneParameters, name):
        return fields.choice(FinetuneParameters, name, elem_classes="fs-choices")
    return fields.number(FinetuneParameters, name)
