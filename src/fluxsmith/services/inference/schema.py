"""What is asked of a generation, and what one looks like."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fluxsmith.core.jobs import Job

MAX_PROMPT_CHARACTERS = 10_000
MAX_SEED = 2**32 - 1
MAX_SIDE = 4096
MAX_PIXELS = 4_300_000  # 21:9 at four megapixels, sides rounded
OutputFormat = Literal["jpeg", "png"]


class GenerationRequest(BaseModel):
    """Pictures to draw: with what, of what, how large, how many."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(
        "nano", min_length=1, max_length=200, title="Model", description="A base model, or a LoRA."
    )
    base_model: str | None = Field(
        None,
        max_length=200,
        title="Base",
        description="Draw a LoRA on this base instead of the one that it was trained on, such as the same "
        "weights on this machine.",
    )
    prompt: str = Field(
        "", max_length=MAX_PROMPT_CHARACTERS, title="Prompt", description="What to draw, in words."
    )
    prompt_upsampling: bool = Field(
        False,
        title="Enrich the prompt",
        description="Adds words for light, composition and detail that the prompt lacks, by a template.",
    )
    width: int = Field(512, ge=64, le=MAX_SIDE, title="Width", description="Pixels.")
    height: int = Field(512, ge=64, le=MAX_SIDE, title="Height", description="Pixels.")
    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        title="Seed",
        description="The same seed draws the same picture; empty for any.",
    )
    count: int = Field(
        1, ge=1, le=16, title="Pictures", description="How many to draw; each has the next seed."
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=100,
        title="Steps",
        description="Steps from noise to picture; empty for the model's own.",
    )
    guidance: float | None = Field(
        None,
        ge=0,
        le=100,
        title="Guidance",
        description="How strictly to follow the prompt; empty for the model's own.",
    )
    strength: float = Field(
        1.0, ge=0, le=2, title="LoRA strength", description="0 switches the LoRA off, 1 is as trained."
    )
    output_format: OutputFormat = Field("png", title="Format", description="Of the files to download.")
    safety_tolerance: int | None = Field(
        None,
        ge=0,
        le=6,
        title="Safety tolerance",
        description="0 refuses most prompts, 6 the fewest; empty checks nothing.",
    )

    @field_validator("prompt")
    @classmethod
    def _no_nul(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("must not contain NUL characters")
        return value

    @model_validator(mode="after")
    def _not_too_many_pixels(self) -> GenerationRequest:
        if self.width * self.height > MAX_PIXELS:
            raise ValueError(
                f"Width × height must be at most {MAX_PIXELS:,} pixels, not {self.width * self.height:,}"
            )
        return self


class Output(BaseModel):
    """One drawn picture; the file in storage is a PNG of exactly the size asked for."""

    model_config = ConfigDict(frozen=True)

    storage_key: str
    seed: int
    width: int
    height: int
    native_width: int
    native_height: int


class Generation(BaseModel):
    """One request for pictures and what came of it; its id is also its job's."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    id: str
    model: str
    base_model: str | None = None
    prompt: str
    prompt_upsampling: bool
    width: int
    height: int
    seed: int
    count: int
    steps: int | None
    guidance: float | None
    strength: float
    output_format: OutputFormat
    outputs: tuple[Output, ...]
    created_at: datetime
    job: Job
