"""Request bodies of 2025 that work on a picture: fill, expand, canny and depth, with and without a finetune.

Named as in BFL's OpenAPI of May 2025; expand is not in it, and is as BFL's reference of that year has it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fluxsmith.contract.base import Notified, OutputFormat
from fluxsmith.contract.fields import (
    EXAMPLE_PROMPT,
    STEPS_SAY,
    ControlGuidance,
    ControlSteps,
    FillGuidance,
    FinetuneId,
    FinetuneStrength,
    OptionalFormat,
    OptionalPrompt,
    OptionalSeed,
    OptionalUpsampling,
    Prompt,
    SafetyTolerance,
    Upsampling,
)

_GUIDANCE_SAYS = "Guidance strength for the image generation process"

FillImage = Annotated[
    str,
    Field(
        description="A Base64-encoded string representing the image you wish to modify. Can contain alpha "
        "mask if desired."
    ),
]
Mask = Annotated[
    str | None,
    Field(
        description="A Base64-encoded mask of the same dimensions as the image, in black and white: black is "
        "kept, white is drawn anew. Optional if the image has an alpha mask."
    ),
]
FillPrompt = Annotated[
    str,
    Field(description="The description of the changes you want to make.", json_schema_extra=EXAMPLE_PROMPT),
]
Threshold = Annotated[int, Field(ge=0, le=500)]
LowThreshold = Annotated[Threshold | None, Field(description="Low threshold for Canny edge detection")]
HighThreshold = Annotated[Threshold | None, Field(description="High threshold for Canny edge detection")]
ControlImage = Annotated[
    str | None,
    Field(
        description="Base64 encoded image to use as control input if no preprocessed image is provided; "
        "without either, the prompt alone is drawn."
    ),
]
NeededControlImage = Annotated[str, Field(description="Base64 encoded image to use as control input")]
PreprocessedImage = Annotated[
    str | None,
    Field(description="Optional pre-processed image that will bypass the control preprocessing step"),
]
Margin = Annotated[int | None, Field(description="Pixels to add at this side of the image.", ge=0, le=2048)]


class FluxProFillInputs(Notified):
    """Body of `/v1/flux-pro-1.0-fill`."""

    image: FillImage
    mask: Mask = None
    prompt: OptionalPrompt = ""
    steps: ControlSteps | None = Field(50, description=STEPS_SAY, json_schema_extra={"example": 50})
    prompt_upsampling: OptionalUpsampling = False
    seed: OptionalSeed = None
    guidance: FillGuidance | None = Field(60, description=_GUIDANCE_SAYS)
    output_format: OptionalFormat = OutputFormat.jpeg
    safety_tolerance: SafetyTolerance = 2


class FluxProExpandInputs(Notified):
    """Body of `/v1/flux-pro-1.0-expand`."""

    image: Annotated[str, Field(description="A Base64-encoded image to draw further at its sides.")]
    top: Margin = 0
    bottom: Margin = 0
    left: Margin = 0
    right: Margin = 0
    prompt: OptionalPrompt = ""
    steps: ControlSteps | None = Field(50, description=STEPS_SAY, json_schema_extra={"example": 50})
    prompt_upsampling: OptionalUpsampling = False
    seed: OptionalSeed = None
    guidance: FillGuidance | None = Field(60, description=_GUIDANCE_SAYS)
    output_format: OptionalFormat = OutputFormat.jpeg
    safety_tolerance: SafetyTolerance = 2


class CannyInputs(Notified):
    """Body of `/v1/flux-pro-1.0-canny`."""

    prompt: Prompt
    control_image: ControlImage = None
    preprocessed_image: PreprocessedImage = None
    canny_low_threshold: LowThreshold = 50
    canny_high_threshold: HighThreshold = 200
    prompt_upsampling: OptionalUpsampling = False
    seed: OptionalSeed = None
    steps: ControlSteps | None = Field(50, description=STEPS_SAY)
    output_format: OptionalFormat = OutputFormat.jpeg
    guidance: ControlGuidance | None = Field(30, description=_GUIDANCE_SAYS)
    safety_tolerance: SafetyTolerance = 2


class DepthInputs(Notified):
    """Body of `/v1/flux-pro-1.0-depth`."""

    prompt: Prompt
    control_image: ControlImage = None
    preprocessed_image: PreprocessedImage = None
    prompt_upsampling: OptionalUpsampling = False
    seed: OptionalSeed = None
    steps: ControlSteps | None = Field(50, description=STEPS_SAY)
    output_format: OptionalFormat = OutputFormat.jpeg
    guidance: ControlGuidance | None = Field(15, description=_GUIDANCE_SAYS)
    safety_tolerance: SafetyTolerance = 2


class FinetuneFluxProFillInputs(Notified):
    """Body of `/v1/flux-pro-1.0-fill-finetuned`."""

    finetune_id: FinetuneId
    finetune_strength: FinetuneStrength = 1.1
    image: FillImage
    mask: Mask = None
    prompt: FillPrompt = ""
    steps: ControlSteps = Field(50, description=STEPS_SAY, json_schema_extra={"example": 50})
    prompt_upsampling: Upsampling = False
    seed: OptionalSeed = None
    guidance: FillGuidance = Field(60, description=_GUIDANCE_SAYS)
    output_format: OptionalFormat = OutputFormat.jpeg
    safety_tolerance: SafetyTolerance = 2


class FinetuneCannyInputs(Notified):
    """Body of `/v1/flux-pro-1.0-canny-finetuned`."""

    finetune_id: FinetuneId
    finetune_strength: FinetuneStrength = 1.1
    prompt: Prompt
    canny_low_threshold: LowThreshold = 50
    canny_high_threshold: HighThreshold = 200
    control_image: NeededControlImage
    prompt_upsampling: Upsampling = False
    seed: OptionalSeed = None
    steps: ControlSteps = Field(50, description=STEPS_SAY)
    output_format: OptionalFormat = OutputFormat.jpeg
    guidance: ControlGuidance = Field(30, description=_GUIDANCE_SAYS)
    safety_tolerance: SafetyTolerance = 2


class FinetuneDepthInputs(Notified):
    """Body of `/v1/flux-pro-1.0-depth-finetuned`."""

    finetune_id: FinetuneId
    finetune_strength: FinetuneStrength = 1.1
    prompt: Prompt
    control_image: NeededControlImage
    prompt_upsampling: Upsampling = False
    seed: OptionalSeed = None
    steps: ControlSteps = Field(50, description=STEPS_SAY)
    output_format: OptionalFormat = OutputFormat.jpeg
    guidance: ControlGuidance = Field(15, description=_GUIDANCE_SAYS)
    safety_tolerance: SafetyTolerance = 2
