"""The Generate page: words, a model or LoRA, a few choices, and everything drawn so far.

Like every page it shows what the services say: reloading it loses nothing but what was typed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import gradio as gr

from fluxsmith.container import ServiceContainer
from fluxsmith.services.inference import Generation, GenerationRequest
from fluxsmith.services.inference.schema import MAX_SEED
from fluxsmith.services.models import Model
from fluxsmith.ui import fields, generate_view, parts
from fluxsmith.ui.base import BaseUI, Updates, event_data
from fluxsmith.ui.follow import FollowFold

SIZES = {"Square": (512, 512), "Landscape": (768, 512), "Portrait": (512, 768)}
EXACT = "Exact"
SHOWN = 40
DEFAULT_COUNT = 4
REFRESH_S = 1.0
_COUNT_JS = "(count) => count == 1 ? 'Draw 1 picture' : `Draw ${count} pictures`"
_RANDOM_JS = f"() => String(Math.floor(Math.random() * {MAX_SEED + 1}))"


class GeneratePage(BaseUI):
    """Widgets and handlers of the page."""

    title = "Generate"

    def __init__(self, container: ServiceContainer) -> None:
        super().__init__(container)
        self.follow = FollowFold()

    def build(self, blocks: Any) -> None:
        """Lay the page out and wire it, inside the route of `blocks` that is open now."""
        self.timer = gr.Timer(REFRESH_S, active=False)
        self.trigger = gr.State("")
        with (
            self.frame("Say what you want to see. A LoRA adds what you taught."),
            gr.Row(elem_classes="fs-columns fs-generate"),
        ):
            with gr.Column(scale=5, min_width=320, elem_classes="fs-right"):
                self._build_words()
                self._build_choices()
                self.form_error = self.html(elem_classes="fs-slot")
                self.draw = gr.Button(
                    f"Draw {DEFAULT_COUNT} pictures", variant="primary", size="lg", elem_classes="fs-primary"
                )
            with gr.Column(scale=8, min_width=320, elem_classes="fs-left"):
                self.view_error = self.html(elem_classes="fs-slot")
                self.gallery = self.html(parts.skeleton(4), elem_id="gallery")
        self._wire(blocks)

    def _build_words(self) -> None:
        self.prompt = fields.text(
            GenerationRequest, "prompt", lines=3, max_lines=10, info=None, autofocus=True,
            placeholder="A red mug on a wooden table",
        )  # fmt: skip
        self.model = gr.Dropdown(
            choices=[fields.default_of(GenerationRequest, "model")],
            value=fields.default_of(GenerationRequest, "model"),
            label="Model or LoRA",
            filterable=False,
            elem_id="field-model",
        )
        self.says = self.html(generate_view.model_line(None))
        self.strength = fields.slider(GenerationRequest, "strength", step=0.05, interactive=False)

    def _build_choices(self) -> None:
        self.size = gr.Radio(
            [*SIZES, EXACT],
            value="Square",
            label="Size",
            elem_id="field-size",
            elem_classes="fs-choices fs-sizes",
        )
        with gr.Row(visible=False, elem_classes="fs-pair") as self.exact:
            self.width = fields.number(GenerationRequest, "width", min_width=96)
            self.height = fields.number(GenerationRequest, "height", min_width=96)
        self.count = fields.slider(GenerationRequest, "count", step=1, value=DEFAULT_COUNT)
        with gr.Row(elem_classes="fs-pair fs-seed"):
            self.seed = fields.number(GenerationRequest, "seed", info="Empty for any.", placeholder="Any")
            self.random = gr.Button("Random", size="sm", min_width=88, scale=0, elem_id="random-seed")
        self.follow.build()
        with gr.Accordion("Advanced", open=False, elem_classes="fs-advanced", elem_id="generate-advanced"):
            self.steps = fields.number(GenerationRequest, "steps")
            self.guidance = fields.number(GenerationRequest, "guidance")
            self.output_format = fields.choice(
                GenerationRequest, "output_format", {"png": "PNG", "jpeg": "JPEG"}, elem_classes="fs-choices"
            )
            self.anew = fields.switch(GenerationRequest, "anew")

    def _wire(self, blocks: Any) -> None:
        view = [self.gallery, self.timer]
        choice = [self.prompt, self.says, self.strength, self.trigger, *self.follow.outputs]
        form = [
            self.prompt,
            self.model,
            self.strength,
            self.size,
            self.width,
            self.height,
            self.count,
            self.seed,
            self.steps,
            self.guidance,
            self.output_format,
            self.anew,
        ]
        self.on(blocks.load, self.on_load, [self.prompt], self.view_error, [*view, self.model, *choice])
        self.on(self.timer.tick, self.on_tick, None, self.view_error, view)
        chosen = [self.model, self.prompt, self.trigger]
        self.on(self.model.input, self.on_model, chosen, self.form_error, choice)
        for asked in (self.draw.click, self.prompt.submit):
            self.on(asked, self.on_draw, [*form, *self.follow.widgets], self.form_error, view)
        use = self.follow.use
        self.on(use.change, self.follow.for_use, [use], self.form_error, self.follow.widgets)
        settings = [*form, self.exact, self.says, self.trigger]
        self.on(self.gallery.click, self.on_gallery, None, self.view_error, [*view, *settings])
        self.on(self.size.change, self.on_size, [self.size], self.form_error, [self.exact])
        self.count.change(None, self.count, self.draw, js=_COUNT_JS)
        self.random.click(None, None, self.seed, js=_RANDOM_JS)

    def on_load(self, prompt: str, request: gr.Request) -> Updates:
        """Fill the page; the address may name the model to draw with."""
        models = [model for model in self.container.models.list(self.actor()) if model.drawable]
        named = request.query_params.get("model")
        default = self.container.settings.model
        ids = [model.id for model in models]
        chosen = next((key for key in (named, default) if key in ids), ids[0] if ids else None)
        options = [(_model_title(model), model.id) for model in models]
        return {
            self.model: gr.Dropdown(choices=options, value=chosen),
            **self._model_choice(_find(models, chosen), prompt, ""),
            **self._view(),
        }

    def on_tick(self) -> Updates:
        """Show what is new."""
        return self._view()

    def on_model(self, model_id: str, prompt: str, trigger: str) -> Updates:
        """Another model was chosen: its trigger word takes the place of the last one's."""
        return self._model_choice(self.container.models.get(self.actor(), model_id), prompt, trigger)

    def on_size(self, size: str) -> Updates:
        """Ask for width and height where no preset gives them."""
        return {self.exact: gr.Row(visible=size == EXACT)}

    def on_draw(
        self, prompt: str, model: str, strength: float, size: str, width: Any, height: Any, count: Any,
        seed: Any, steps: Any, guidance: Any, output_format: str, anew: bool,
        *followed: Any,
    ) -> Updates:  # fmt: skip
        """Ask for the pictures."""
        if size in SIZES:
            width, height = SIZES[size]
        request = self.parse(
            GenerationRequest,
            {
                "model": model,
                "prompt": prompt,
                "strength": strength,
                "width": width,
                "height": height,
                "count": count,
                "seed": fields.given(seed),
                "steps": fields.given(steps),
                "guidance": fields.given(guidance),
                "output_format": output_format,
                "anew": anew,
                **self.follow.asked(*followed),
            },
        )
        self.container.inference.generate(self.actor(), request)
        return self._view()

    def on_gallery(self, event: gr.EventData) -> Updates:
        """A click in the gallery: cancel, delete, or use the same settings again."""
        data = event_data(event)
        inference, generation_id = self.container.inference, data.get("generation", "")
        if data.get("act") == "cancel":
            inference.cancel(self.actor(), data.get("job", ""))
        elif data.get("act") == "delete":
            inference.delete(self.actor(), generation_id)
        elif data.get("act") == "reuse":
            return self._settings(inference.get(self.actor(), generation_id))
        return self._view()

    def _view(self) -> Updates:
        generations = self.container.inference.list(self.actor(), SHOWN)
        names = {model.id: model.name for model in self.container.models.list(self.actor())}
        waiting = next((one.job for one in generations if one.job.state == "queued"), None)
        waits_for = self.waits_for(waiting) if waiting else ""
        return {
            self.gallery: generate_view.gallery(generations, names, waits_for),
            self.timer: gr.Timer(active=any(not generation.job.ended for generation in generations)),
        }

    def _model_choice(self, model: Model | None, prompt: str, old_trigger: str) -> Updates:
        trigger = (model.trigger_word if model else None) or ""
        return {
            self.prompt: with_trigger(prompt, old_trigger, trigger),
            self.says: generate_view.model_line(model),
            self.strength: gr.Slider(interactive=model is not None and model.kind == "lora"),
            self.trigger: trigger,
            **self.follow.for_model(model.capabilities if model else ()),
        }

    def _settings(self, generation: Generation) -> Updates:
        model = _find(self.container.models.list(self.actor()), generation.model)
        shape = (generation.width, generation.height)
        size = next((name for name, preset in SIZES.items() if preset == shape), EXACT)
        return {
            self.prompt: generation.prompt,
            **({self.model: model.id} if model else {}),
            self.says: generate_view.model_line(model),
            self.trigger: (model.trigger_word if model else None) or "",
            self.strength: gr.Slider(
                value=generation.strength, interactive=model is not None and model.kind == "lora"
            ),
            self.size: size,
            self.exact: gr.Row(visible=size == EXACT),
            self.width: generation.width,
            self.height: generation.height,
            self.count: generation.count,
            self.seed: str(generation.seed),
            self.steps: _shown(generation.steps),
            self.guidance: _shown(generation.guidance),
            self.output_format: generation.output_format,
        }


def with_trigger(prompt: str, old: str, new: str) -> str:
    """The prompt with a LoRA's trigger word in it, and without the one of the LoRA before."""
    words = prompt.strip()
    if old and old != new:
        words = re.sub(rf"^{re.escape(old)}(?!\w)[,\s]*", "", words, flags=re.IGNORECASE)
    if not new or re.search(rf"(?<!\w){re.escape(new)}(?!\w)", words, re.IGNORECASE):
        return words
    return f"{new} {words}".strip()


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _find(models: Sequence[Model], model_id: str | None) -> Model | None:
    return next((model for model in models if model.id == model_id), None)


def _model_title(model: Model) -> str:
    return f"{model.name} ({model.trigger_word})" if model.trigger_word else model.name
