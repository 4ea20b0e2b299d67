"""The fields that many bodies of BFL's API share, each with its limits and words; defaults are the body's.

Words and limits are those of BFL's OpenAPI of May 2025, so that `/docs` reads alike. What this server does
otherwise is said in the same sentence.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from fluxsmith.contract.aspect import check_aspect_ratio
from fluxsmith.contract.base import OutputFormat

EXAMPLE_PROMPT = {"example": "ein fantastisches bild"}
GUIDANCE_SAYS = (
    "Guidance scale for image generation. High guidance scales improve prompt adherence at the cost of "
    "reduced realism."
)
STEPS_SAY = "Number of steps for the image generation process."

Side = Annotated[int, Field(ge=256, le=1440, multiple_of=32)]
Width = Annotated[
    Side, Field(description="Width of the generated image in pixels. Must be a multiple of 32.")
]
Height = Annotated[
    Side, Field(description="Height of the generated image in pixels. Must be a multiple of 32.")
]
AspectRatio = Annotated[
    str,
    Field(description="Aspect ratio of the image between 21:9 and 9:21"),
    AfterValidator(check_aspect_ratio),
]

Prompt = Annotated[
    str, Field(description="Text prompt for image generation.", json_schema_extra=EXAMPLE_PROMPT)
]
OptionalPrompt = Annotated[
    str | None, Field(description="Text prompt for image generation.", json_schema_extra=EXAMPLE_PROMPT)
]
_UPSAMPLING_SAYS = (
    "Whether to perform upsampling on the prompt. This server does it with a template: it adds words for "
    "light, composition and detail that the prompt lacks."
)
Upsampling = Annotated[bool, Field(description=_UPSAMPLING_SAYS)]
OptionalUpsampling = Annotated[bool | None, Field(description=_UPSAMPLING_SAYS)]

ImagePrompt = Annotated[
    str | None, Field(description="Optional base64 encoded image to use with Flux Redux.")
]
ImagePromptStrength = Annotated[
    float, Field(ge=0, le=1, description="Blend between the prompt and the image prompt")
]

OptionalSeed = Annotated[
    int | None, Field(description="Optional seed for reproducibility.", json_schema_extra={"example": 42})
]
UnionlessSeed = Annotated[
    int | None,
    WithJsonSchema({"type": "integer", "example": 42}),  # so BFL writes it here; null is taken all the same
    Field(description="Optional seed for reproducibility."),
]

Steps = Annotated[int, Field(ge=1, le=50)]
ControlSteps = Annotated[int, Field(ge=15, le=50)]
Guidance = Annotated[float, Field(ge=1.5, le=5)]
ControlGuidance = Annotated[float, Field(ge=1, le=100)]
FillGuidance = Annotated[float, Field(ge=1.5, le=100)]

SAFETY_SAYS = (
    "Tolerance level for moderation, 0 being most strict. This server looks at the prompt only, for words of "
    "a short list; a task that is refused has the state 'Request Moderated'."
)
SafetyTolerance = Annotated[int, Field(ge=0, le=6, description=SAFETY_SAYS, json_schema_extra={"example": 2})]

_FORMAT_SAYS = "Output format for the generated image. Can be 'jpeg' or 'png'."
Format = Annotated[OutputFormat, Field(description=_FORMAT_SAYS)]
OptionalFormat = Annotated[OutputFormat | None, Field(description=_FORMAT_SAYS)]

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
