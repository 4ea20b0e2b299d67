"""The table of BFL's generation endpoints: which path takes which body, and what its fields ask of a model.

The server makes its routes from it, the client its calls. A further endpoint is a further row. Text alone
is drawn through every endpoint that can be asked for it; each field that needs more names the capability.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fluxsmith.contract.base import Notified
from fluxsmith.contract.inputs import (
    FinetuneFluxUltraInput,
    FluxDevInputs,
    FluxPro11Inputs,
    FluxProFinetuneInputs,
    FluxProInputs,
    FluxUltraInput,
)
from fluxsmith.contract.inputs_control import (
    CannyInputs,
    DepthInputs,
    FinetuneCannyInputs,
    FinetuneDepthInputs,
    FinetuneFluxProFillInputs,
    FluxProExpandInputs,
    FluxProFillInputs,
)
from fluxsmith.contract.inputs_today import (
    Flux2FlexInputs,
    Flux2KleinFinetunedInputs,
    Flux2KleinInputs,
    Flux2ProInputs,
    FluxKontextInputs,
)

PICTURE_FIELDS: dict[str, str] = {
    "image_prompt": "image_prompt",
    **dict.fromkeys(("input_image", *(f"input_image_{number}" for number in range(2, 9))), "edit"),
}
"""Fields that, on whichever endpoint, hold a picture, with what it is used for."""
NEEDED_CAPABILITY: dict[str, str] = {
    **PICTURE_FIELDS,
    "raw": "raw",
    "interval": "interval",
}
"""Fields that, on whichever endpoint, ask for a capability that a model may lack.

`image_prompt_strength` and the thresholds of canny are not here: without a picture they have no meaning,
and many clients send them always.
"""

_FILL = {"image": "fill", "mask": "fill"}
_CANNY = {"control_image": "canny", "preprocessed_image": "canny"}
_DEPTH = {"control_image": "depth", "preprocessed_image": "depth"}


@dataclass(frozen=True)
class Endpoint:
    """One way to ask for pictures.

    Args:
        path: below the host, with `/v1`.
        body: what it takes.
        summary: one line for the API's page.
        needs: fields of this endpoint that ask for a capability, beside those of `NEEDED_CAPABILITY`.
        area_px: how many pixels an aspect ratio stands for.
    """

    path: str
    body: type[Notified]
    summary: str
    needs: Mapping[str, str] = field(default_factory=dict)
    area_px: int = 1024 * 1024

    @property
    def finetuned(self) -> bool:
        """Whether it draws with a finetune."""
        return "finetune_id" in self.body.model_fields

    @property
    def picture_fields(self) -> dict[str, str]:
        """Its fields that hold a picture, with the capability that each asks for."""
        every = {**PICTURE_FIELDS, **self.needs}
        return {name: use for name, use in every.items() if name in self.body.model_fields}

    def asked_of_model(self, body: Notified) -> Iterator[tuple[str, str]]:
        """Each field of a body that asks for a capability, with that capability.

        A field that is left out, empty or at its default asks for nothing.
        """
        for name, capability in {**NEEDED_CAPABILITY, **self.needs}.items():
            declared = self.body.model_fields.get(name)
            if declared is None:
                continue
            value = getattr(body, name)
            if value not in (None, "", declared.default) or declared.is_required():
                yield name, capability


_OF_2025 = (
    Endpoint("/v1/flux-pro-1.1", FluxPro11Inputs, "Generate an image with FLUX 1.1 [pro]."),
    Endpoint("/v1/flux-pro", FluxProInputs, "Generate an image with FLUX.1 [pro]."),
    Endpoint("/v1/flux-dev", FluxDevInputs, "Generate an image with FLUX.1 [dev]."),
    Endpoint(
        "/v1/flux-pro-1.1-ultra",
        FluxUltraInput,
        "Generate an image of four megapixels, by aspect ratio.",
        area_px=2048 * 2048,
    ),
    Endpoint(
        "/v1/flux-pro-1.0-fill", FluxProFillInputs, "Draw the masked part of an image anew.", needs=_FILL
    ),
    Endpoint(
        "/v1/flux-pro-1.0-expand", FluxProExpandInputs, "Draw an image further at its sides.", needs=_FILL
    ),
    Endpoint(
        "/v1/flux-pro-1.0-canny",
        CannyInputs,
        "Generate an image that follows the edges of a control image.",
        needs=_CANNY,
    ),
    Endpoint(
        "/v1/flux-pro-1.0-depth",
        DepthInputs,
        "Generate an image that follows the depth of a control image.",
        needs=_DEPTH,
    ),
    Endpoint("/v1/flux-pro-finetuned", FluxProFinetuneInputs, "Generate an image with a fine-tuned model."),
    Endpoint(
        "/v1/flux-pro-1.1-ultra-finetuned",
        FinetuneFluxUltraInput,
        "Generate an image of four megapixels with a fine-tuned model.",
        area_px=2048 * 2048,
    ),
    Endpoint(
        "/v1/flux-pro-1.0-fill-finetuned",
        FinetuneFluxProFillInputs,
        "Draw the masked part of an image anew with a fine-tuned model.",
        needs=_FILL,
    ),
    Endpoint(
        "/v1/flux-pro-1.0-canny-finetuned",
        FinetuneCannyInputs,
        "Follow the edges of a control image with a fine-tuned model.",
        needs=_CANNY,
    ),
    Endpoint(
        "/v1/flux-pro-1.0-depth-finetuned",
        FinetuneDepthInputs,
        "Follow the depth of a control image with a fine-tuned model.",
        needs=_DEPTH,
    ),
)
_OF_TODAY = (
    Endpoint("/v1/flux-2-klein-4b", Flux2KleinInputs, "Generate or edit an image with FLUX.2 [klein] 4B."),
    Endpoint("/v1/flux-2-klein-9b", Flux2KleinInputs, "Generate or edit an image with FLUX.2 [klein] 9B."),
    Endpoint("/v1/flux-2-pro", Flux2ProInputs, "Generate or edit an image with FLUX.2 [pro]."),
    Endpoint("/v1/flux-2-max", Flux2ProInputs, "Generate or edit an image with FLUX.2 [max]."),
    Endpoint("/v1/flux-2-flex", Flux2FlexInputs, "Generate or edit an image with FLUX.2 [flex]."),
    Endpoint(
        "/v1/flux-kontext-pro", FluxKontextInputs, "Generate or edit an image with FLUX.1 Kontext [pro]."
    ),
    Endpoint(
        "/v1/flux-kontext-max", FluxKontextInputs, "Generate or edit an image with FLUX.1 Kontext [max]."
    ),
    *(
        Endpoint(
            f"/v1/flux-2-klein-{kind}-finetuned",
            Flux2KleinFinetunedInputs,
            "Generate or edit an image with a LoRA of FLUX.2 [klein].",
        )
        for kind in ("4b", "9b", "9b-kv", "9b-kv-bf16", "base-4b", "base-9b")
    ),
)
_ALIASES = (
    Endpoint("/v1/flux-fill", FluxProFillInputs, "The same as `/v1/flux-pro-1.0-fill`.", needs=_FILL),
    Endpoint("/v1/flux-kontext", FluxKontextInputs, "The same as `/v1/flux-kontext-pro`."),
)

GENERATION_ENDPOINTS: tuple[Endpoint, ...] = (*_OF_2025, *_OF_TODAY, *_ALIASES)
