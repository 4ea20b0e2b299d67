"""The fold of the Generate page for pictures that a drawing follows."""

from __future__ import annotations

import base64
from collections.abc import Collection
from pathlib import Path
from typing import Any

import gradio as gr

from fluxsmith.services.inference import GenerationRequest
from fluxsmith.ui import fields
from fluxsmith.ui.base import Updates

USES = {
    "image_prompt": "Something like it",
    "edit": "Change it",
    "fill": "Draw a part anew",
    "canny": "Follow its edges",
    "depth": "Follow its relief",
}


class FollowFold:
    """Widgets for one picture, its use and, for a fill, its mask; hidden where the model follows none."""

    def build(self) -> None:
        """Lay the fold out where the page is built now."""
        with gr.Accordion(
            "Follow a picture",
            open=False,
            visible=False,
            elem_classes="fs-advanced",
            elem_id="generate-follow",
        ) as self.fold:
            self.use = gr.Radio(
                [(words, role) for role, words in USES.items()],
                value="image_prompt",
                label="Use",
                elem_id="field-picture-use",
                elem_classes="fs-choices",
            )
            self.picture = self._picture("Picture", "follow-picture")
            self.mask = self._picture("Mask: white where it is drawn anew", "follow-mask", visible=False)
            self.strength = fields.slider(GenerationRequest, "image_prompt_strength", step=0.05)

    @property
    def widgets(self) -> list[Any]:
        """What `asked` takes, in this order."""
        return [self.use, self.picture, self.mask, self.strength]

    @property
    def outputs(self) -> list[Any]:
        """What the updates of this fold may change."""
        return [self.fold, *self.widgets]

    def for_model(self, capabilities: Collection[str]) -> Updates:
        """Offer what the chosen model can do."""
        able = [(words, role) for role, words in USES.items() if role in capabilities]
        if not able:
            return {self.fold: gr.Accordion(visible=False), self.picture: None, self.mask: None}
        needed = {} if "text" in capabilities else {"open": True}
        return {
            self.fold: gr.Accordion(visible=True, **needed),
            self.use: gr.Radio(choices=able, value=able[0][1]),
        }

    def for_use(self, use: str | None) -> Updates:
        """Show the mask to a fill, and the strength to an image prompt."""
        return {
            self.mask: gr.Image(visible=use == "fill"),
            self.strength: gr.Slider(visible=use == "image_prompt"),
        }

    def asked(
        self, use: str | None, picture: str | None, mask: str | None, strength: float
    ) -> dict[str, Any]:
        """The request's fields by what the widgets hold."""
        if not picture or not use:
            return {}
        pictures = [_input(use, picture)]
        if use == "fill" and mask:
            pictures.append(_input("mask", mask))
        return {"pictures": pictures, "image_prompt_strength": strength}

    def _picture(self, label: str, elem_id: str, *, visible: bool = True) -> Any:
        return gr.Image(
            label=label,
            type="filepath",
            format="png",
            image_mode=None,
            sources=["upload", "clipboard"],
            height=220,
            visible=visible,
            elem_id=elem_id,
        )


def _input(role: str, path: str) -> dict[str, str]:
    return {"role": role, "data": base64.b64encode(Path(path).read_bytes()).decode()}
