"""Request bodies of BFL's API as it is today: FLUX.2 and FLUX.1 Kontext.

Source: BFL's API reference of 2026. Names of the classes are ours, since BFL publishes none.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from fluxsmith.contract.aspect import check_aspect_ratio
from fluxsmith.contract.base import Notified, OutputFormat
from fluxsmith.contract.fields import (
    GUIDANCE_SAYS,
    SAFETY_SAYS,
    STEPS_SAY,
    FinetuneId,
    FinetuneStrength,
    Format,
    OptionalSeed,
    Prompt,
    SafetyTolerance,
    Steps,
    Upsampling,
)

SMALLEST_SIDE_PX = 64
MOST_PIXELS = 4_000_000


def _zero_or_large_enough(side: int) -> int:
    if 0 < side < SMALLEST_SIDE_PX:
        raise ValueError(f"must be at least {SMALLEST_SIDE_PX}, or 0 for automatic")
    return side


AutomaticSide = Annotated[int, Field(ge=0, multiple_of=16), AfterValidator(_zero_or_large_enough)]
InputImage = Annotated[str | None, Field(description="Picture to edit, as base64 or as a URL.")]


class Flux2KleinInputs(Notified):
    """Body of `/v1/flux-2-klein-4b` and `-9b`: words, and up to four pictures to edit."""

    prompt: Prompt
    input_image: InputImage = None
    input_image_2: InputImage = None
    input_image_3: InputImage = None
    input_image_4: InputImage = None
    seed: OptionalSeed = None
    width: AutomaticSide = Field(
        0, description="Width in pixels, a multiple of 16, at least 64; 0 for automatic."
    )
    height: AutomaticSide = Field(
        0, description="Height in pixels, a multiple of 16, at least 64; 0 for automatic."
    )
    safety_tolerance: int = Field(2, ge=0, le=5, description=SAFETY_SAYS)
    output_format: Format = OutputFormat.jpeg

    @model_validator(mode="after")
    def _not_too_many_pixels(self) -> Flux2KleinInputs:
        if self.width * self.height > MOST_PIXELS:
            raise ValueError(
                f"Width × height must be at most {MOST_PIXELS:,} pixels, not {self.width * self.height:,}"
            )
        return self


class Flux2KleinFinetunedInputs(Flux2KleinInputs):
    """Body of the finetuned klein endpoints: klein's own, with a LoRA."""

    finetune_id: FinetuneId
    finetune_strength: FinetuneStrength = 1.0


class Flux2ProInputs(Flux2KleinInputs):
    """Body of `/v1/flux-2-pro` and `-max`: klein's, with up to eight pictures."""

    input_image_5: InputImage = None
    input_image_6: InputImage = None
    input_image_7: InputImage = None
    input_image_8: InputImage = None


class Flux2FlexInputs(Flux2ProInputs):
    """Body of `/v1/flux-2-flex`: pro's, with steps and guidance to choose."""

    prompt_upsampling: Upsampling = True
    guidance: float = Field(5, ge=1.5, le=10, description=GUIDANCE_SAYS)
    steps: Steps = Field(50, description=STEPS_SAY)


class FluxKontextInputs(Notified):
    """Body of `/v1/flux-kontext-pro` and `-max`."""

    prompt: Prompt
    input_image: InputImage = None
    input_image_2: InputImage = None
    input_image_3: InputImage = None
    input_image_4: InputImage = None
    seed: OptionalSeed = None
    aspect_ratio: Annotated[str, AfterValidator(check_aspect_ratio)] | None = Field(
        None, description="Aspect ratio of the image between 21:9 and 9:21; square if none is given."
    )
    output_format: Format = OutputFormat.png
    prompt_upsampling: Upsampling = False
    safety_tolerance: SafetyTolerance = 2
