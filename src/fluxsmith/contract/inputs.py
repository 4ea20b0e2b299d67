"""Request bodies of 2025, named as in BFL's OpenAPI of that time.

Only what this server answers today is declared; a further endpoint is a further class and a row in
`endpoints`. Source: `FluxPro11Inputs` and so on in BFL's OpenAPI of May 2025.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fluxsmith.contract.base import (
    GUIDANCE_SAYS,
    Body,
    Format,
    Guidance,
    Height,
    ImagePrompt,
    Notified,
    OptionalFormat,
    OptionalPrompt,
    OptionalSeed,
    OutputFormat,
    Prompt,
    SafetyTolerance,
    UnionlessSeed,
    Upsampling,
    Width,
)

FinetuneId = Annotated[
    str,
    Field(
        description="ID of the fine-tuned model you want to use.",
        json_schema_extra={"example": "my-finetune"},
    ),
]
FinetuneStrength = Annotated[
    float,
    Field(
        ge=0,
        le=2,
        description="Strength of the fine-tuned model. 0.0 means no influence, 1.0 means full influence. "
        "Allowed values up to 2.0",
    ),
]


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


class FluxDevInputs(Notified):
    """Body of `/v1/flux-dev`."""

    prompt: Prompt = ""
    image_prompt: Annotated[
        str | None,
        Field(description="Optional base64 encoded image to use as a prompt for generation."),
    ] = None
    width: Width = 1024
    height: Height = 768
    steps: Annotated[int, Field(ge=1, le=50)] | None = Field(
        28,
        description="Number of steps for the image generation process.",
        json_schema_extra={"example": 28},
    )
    prompt_upsampling: Upsampling = False
    seed: OptionalSeed = None
    guidance: Guidance | None = Field(3.0, description=GUIDANCE_SAYS, json_schema_extra={"example": 3.0})
    safety_tolerance: SafetyTolerance = 2
    output_format: OptionalFormat = OutputFormat.jpeg


class FluxProFinetuneInputs(Notified):
    """Body of `/v1/flux-pro-finetuned`."""

    finetune_id: FinetuneId
    finetune_strength: FinetuneStrength = 1.1
    steps: int = Field(
        40,
        ge=1,
        le=50,
        description="Number of steps for the image generation process.",
        json_schema_extra={"example": 40},
    )
    guidance: Guidance = Field(2.5, description=GUIDANCE_SAYS, json_schema_extra={"example": 2.5})
    prompt: Prompt = ""
    image_prompt: ImagePrompt = None
    width: Width = 1024
    height: Height = 768
    prompt_upsampling: Upsampling = False
    seed: UnionlessSeed = None
    safety_tolerance: SafetyTolerance = 2
    output_format: Format = OutputFormat.jpeg


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
