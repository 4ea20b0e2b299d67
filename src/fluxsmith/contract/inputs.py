"""Request bodies of 2025 that need words only, and those of finetunes, named as in BFL's OpenAPI.

Those that need a picture are in `inputs_control`. Source: BFL's OpenAPI of May 2025.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fluxsmith.contract.base import Body, Notified, OutputFormat
from fluxsmith.contract.fields import (
    GUIDANCE_SAYS,
    STEPS_SAY,
    AspectRatio,
    FinetuneId,
    FinetuneStrength,
    Format,
    Guidance,
    Height,
    ImagePrompt,
    ImagePromptStrength,
    OptionalFormat,
    OptionalPrompt,
    OptionalSeed,
    Prompt,
    SafetyTolerance,
    Steps,
    UnionlessSeed,
    Upsampling,
    Width,
)


class FluxPro11Inputs(Notified):
    """Body of `/v1/flux-pro-1.1`."""

    prompt: OptionalPrompt = ""
    image_prompt: ImagePrompt = None
    width: Width = 1024
    height: Height = 768
    prompt_upsampling: Upsampling = False
    seed: OptionalSeed = None
    safety_tolerance: SafetyTolerance = 2
    output_format: OptionalFormat = OutputFormat.jpeg


class FluxProInputs(Notified):
    """Body of `/v1/flux-pro`."""

    prompt: OptionalPrompt = ""
    image_prompt: ImagePrompt = None
    width: Width = 1024
    height: Height = 768
    steps: Steps | None = Field(40, description=STEPS_SAY, json_schema_extra={"example": 40})
    prompt_upsampling: Upsampling = False
    seed: OptionalSeed = None
    guidance: Guidance | None = Field(2.5, description=GUIDANCE_SAYS, json_schema_extra={"example": 2.5})
    safety_tolerance: SafetyTolerance = 2
    interval: Annotated[float, Field(ge=1, le=4)] | None = Field(
        2.0,
        description="Interval parameter for guidance control. Only the default is taken, unless the model "
        "has guidance intervals.",
        json_schema_extra={"example": 2.0},
    )
    output_format: OptionalFormat = OutputFormat.jpeg


class FluxDevInputs(Notified):
    """Body of `/v1/flux-dev`."""

    prompt: Prompt = ""
    image_prompt: ImagePrompt = None
    width: Width = 1024
    height: Height = 768
    steps: Steps | None = Field(28, description=STEPS_SAY, json_schema_extra={"example": 28})
    prompt_upsampling: Upsampling = False
    seed: OptionalSeed = None
    guidance: Guidance | None = Field(3.0, description=GUIDANCE_SAYS, json_schema_extra={"example": 3.0})
    safety_tolerance: SafetyTolerance = 2
    output_format: OptionalFormat = OutputFormat.jpeg


class FluxUltraInput(Notified):
    """Body of `/v1/flux-pro-1.1-ultra`."""

    prompt: OptionalPrompt = ""
    prompt_upsampling: Upsampling = False
    seed: OptionalSeed = None
    aspect_ratio: AspectRatio = "16:9"
    safety_tolerance: SafetyTolerance = 2
    output_format: OptionalFormat = OutputFormat.jpeg
    raw: bool = Field(
        False,
        description="Generate less processed, more natural-looking images; refused where the model has no "
        "such mode.",
        json_schema_extra={"example": False},
    )
    image_prompt: ImagePrompt = None
    image_prompt_strength: ImagePromptStrength = 0.1


class FluxProFinetuneInputs(Notified):
    """Body of `/v1/flux-pro-finetuned`."""

    finetune_id: FinetuneId
    finetune_strength: FinetuneStrength = 1.1
    steps: Steps = Field(40, description=STEPS_SAY, json_schema_extra={"example": 40})
    guidance: Guidance = Field(2.5, description=GUIDANCE_SAYS, json_schema_extra={"example": 2.5})
    prompt: Prompt = ""
    image_prompt: ImagePrompt = None
    width: Width = 1024
    height: Height = 768
    prompt_upsampling: Upsampling = False
    seed: UnionlessSeed = None
    safety_tolerance: SafetyTolerance = 2
    output_format: Format = OutputFormat.jpeg


class FinetuneFluxUltraInput(Notified):
    """Body of `/v1/flux-pro-1.1-ultra-finetuned`."""

    finetune_id: FinetuneId
    finetune_strength: FinetuneStrength = 1.2
    prompt: OptionalPrompt = ""
    seed: OptionalSeed = None
    aspect_ratio: AspectRatio = "16:9"
    safety_tolerance: SafetyTolerance = 2
    output_format: OptionalFormat = OutputFormat.jpeg
    image_prompt: ImagePrompt = None
    image_prompt_strength: ImagePromptStrength = 0.1
    prompt_upsampling: Upsampling = False


class FinetuneInputs(Notified):
    """Body of `/v1/finetune`."""

    file_data: str = Field(
        description="Base64-encoded ZIP file containing training images and, optionally, corresponding "
        "captions."
    )
    finetune_comment: str = Field(
        description="Comment or name of the fine-tuned model. This will be added as a field to the "
        "finetune_details.",
        json_schema_extra={"example": "my-first-finetune"},
    )
    trigger_word: str = Field(
        "TOK", description="Trigger word for the fine-tuned model.", json_schema_extra={"example": "TOK"}
    )
    mode: Literal["general", "character", "style", "product"] = Field(
        description="Mode for the fine-tuned model. Allowed values are 'general', 'character', 'style', "
        "'product'. This will affect the caption behaviour. General will describe the image in full detail."
    )
    iterations: int = Field(300, ge=100, le=1000, description="Number of iterations for fine-tuning.")
    learning_rate: Annotated[float, Field(ge=1e-6, le=5e-3)] | None = Field(
        None,
        description="Learning rate for fine-tuning. If not provided, the rate that suits the base model: "
        "1e-5 for full and 1e-4 for lora fine-tuning where the base model names none.",
    )
    captioning: bool = Field(True, description="Whether to enable captioning during fine-tuning.")
    priority: Literal["speed", "quality", "high_res_only"] = Field(
        "quality",
        description="Priority of the fine-tuning process. 'speed' will prioritize iteration speed over "
        "quality, 'quality' will prioritize quality over speed.",
    )
    finetune_type: Literal["lora", "full"] = Field(
        "full",
        description="Type of fine-tuning. 'lora' is a standard LoRA Adapter, 'full' is a full fine-tuning "
        "mode, with a post hoc lora extraction.",
    )
    lora_rank: Literal[16, 32] = Field(
        32,
        description="Rank of the fine-tuned model. 16 or 32. If finetune_type is 'full', this will be the "
        "rank of the extracted lora model.",
    )


class DeleteFinetuneInputs(Body):
    """Body of `/v1/delete_finetune`."""

    finetune_id: str = Field(
        description="ID of the fine-tuned model you want to delete.",
        json_schema_extra={"example": "my-finetune"},
    )
