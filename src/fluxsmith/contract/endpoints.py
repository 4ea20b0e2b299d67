"""The table of BFL's generation endpoints: which path takes which body, and what it stands for.

The server makes its routes from it, the client its calls. A further endpoint is a further row.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluxsmith.contract.base import Notified
from fluxsmith.contract.inputs import FluxDevInputs, FluxPro11Inputs, FluxProFinetuneInputs
from fluxsmith.contract.inputs_today import Flux2KleinInputs


@dataclass(frozen=True)
class Endpoint:
    """One way to ask for pictures.

    Args:
        path: below the host, with `/v1`.
        body: what it takes.
        summary: one line for the API's page.
    """

    path: str
    body: type[Notified]
    summary: str

    @property
    def finetuned(self) -> bool:
        """Whether it draws with a finetune."""
        return "finetune_id" in self.body.model_fields


GENERATION_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("/v1/flux-pro-1.1", FluxPro11Inputs, "Generate an image with FLUX 1.1 [pro]."),
    Endpoint("/v1/flux-dev", FluxDevInputs, "Generate an image with FLUX.1 [dev]."),
    Endpoint(
        "/v1/flux-pro-finetuned",
        FluxProFinetuneInputs,
        "Generate an image with a fine-tuned model.",
    ),
    Endpoint("/v1/flux-2-klein-4b", Flux2KleinInputs, "Generate an image with FLUX.2 [klein] 4B."),
)

NEEDED_CAPABILITY: dict[str, str] = {
    "image_prompt": "image_prompt",
    "input_image": "edit",
    "input_image_2": "edit",
    "input_image_3": "edit",
    "input_image_4": "edit",
    "prompt_upsampling": "prompt_upsampling",
}
"""Fields that, when given, ask for a capability that a model may lack."""
