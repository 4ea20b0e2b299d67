"""What is asked of a generation, and what one looks like."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fluxsmith.core.jobs import Job

MAX_PROMPT_CHARACTERS = 10_000
MAX_SEED = 2**32 - 1
MIN_SIDE = 64
MAX_SIDE = 4096
MAX_PIXELS = 4_300_000  # 21:9 at four megapixels, sides rounded
MAX_MARGIN = 2048
MAX_INPUT_PICTURES = 10
OutputFormat = Literal["jpeg", "png"]
PictureRole = Literal["image_prompt", "edit", "fill", "mask", "canny", "depth"]
CONTROLS = ("canny", "depth")


class InputPicture(BaseModel):
    """A picture that the drawing follows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: PictureRole = Field(
        title="Use",
        description="image_prompt: draw something like it. edit: change it as the prompt says. fill: draw "
        "its masked part anew. mask: white where that is. canny, depth: follow its edges, its relief.",
    )
    data: str = Field(
        min_length=1, title="Picture", description="JPG, PNG or WebP as base64, or its address (https://…)."
    )
    preprocessed: bool = Field(
        False,
        title="Ready",
        description="The picture of a canny or depth control shows edges or relief already.",
    )

    @model_validator(mode="after")
    def _only_controls_are_preprocessed(self) -> InputPicture:
        if self.preprocessed and self.role not in CONTROLS:
            raise ValueError("Only the picture of a canny or depth control can be ready already")
        return self


class ExpandMargins(BaseModel):
    """Pixels to draw beyond a picture's sides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top: int = Field(0, ge=0, le=MAX_MARGIN, title="Top", description="Pixels.")
    bottom: int = Field(0, ge=0, le=MAX_MARGIN, title="Bottom", description="Pixels.")
    left: int = Field(0, ge=0, le=MAX_MARGIN, title="Left", description="Pixels.")
    right: int = Field(0, ge=0, le=MAX_MARGIN, title="Right", description="Pixels.")


class GenerationRequest(BaseModel):
    """Pictures to draw: with what, of what, how large, how many, and after which pictures."""

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
    width: int = Field(512, ge=MIN_SIDE, le=MAX_SIDE, title="Width", description="Pixels.")
    height: int = Field(512, ge=MIN_SIDE, le=MAX_SIDE, title="Height", description="Pixels.")
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

    pictures: tuple[InputPicture, ...] = Field(
        (),
        max_length=MAX_INPUT_PICTURES,
        title="Pictures to follow",
        description="Each with its use; what the model cannot do is refused.",
    )
    image_prompt_strength: float = Field(
        1.0,
        ge=0,
        le=1,
        title="Image prompt strength",
        description="How clearly image prompts are seen: 1 as they are, 0 not at all.",
    )
    canny_low_threshold: int = Field(
        50, ge=0, le=500, title="Low threshold", description="Of edges that go on with a line."
    )
    canny_high_threshold: int = Field(
        200, ge=0, le=500, title="High threshold", description="Of edges that begin a line."
    )
    expand: ExpandMargins | None = Field(
        None, title="Expand", description="Draw the picture of a fill further at its sides, unmasked."
    )
    size_from_picture: bool = Field(
        False,
        title="Size of the picture",
        description="Draw as large as the first picture to follow; a fill always is.",
    )
    anew: bool = Field(
        False,
        title="Draw anew",
        description="Ask a paid provider again even for pictures that it has drawn before, from the same "
        "settings and seed; otherwise those are taken from the store.",
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

    @model_validator(mode="after")
    def _pictures_fit_together(self) -> GenerationRequest:
        roles = [picture.role for picture in self.pictures]
        for role in ("fill", "mask"):
            if roles.count(role) > 1:
                raise ValueError(f"Only one picture can be a {role}")
        if sum(role in CONTROLS for role in roles) > 1:
            raise ValueError("Only one picture can be a control (canny or depth)")
        if "fill" not in roles and ("mask" in roles or self.expand):
            raise ValueError("A mask, or margins to expand by, need a picture to fill")
        if self.expand and "mask" in roles:
            raise ValueError("A picture is either expanded or filled by a mask")
        return self


class UsedPicture(BaseModel):
    """A picture that a drawing followed, as it was kept.

    `sha256` is of its file, unknown where an earlier version kept it; `margins` are what it was expanded by.
    """

    model_config = ConfigDict(frozen=True)

    role: PictureRole
    storage_key: str
    preprocessed: bool = False
    sha256: str | None = None
    margins: ExpandMargins | None = None


_NOT_OF_THE_PICTURE = frozenset({"output_format", "safety_tolerance", "anew"})


def asks_the_same(one: GenerationRequest, other: GenerationRequest) -> bool:
    """Whether two requests come to the same pictures, whatever is done with them afterwards."""
    return one.model_dump(exclude=set(_NOT_OF_THE_PICTURE)) == other.model_dump(
        exclude=set(_NOT_OF_THE_PICTURE)
    )


def follow_the_same(ones: Sequence[UsedPicture], others: Sequence[UsedPicture]) -> bool:
    """Whether two requests follow the same pictures in the same uses and order, by the files' content."""
    if not all(picture.sha256 for picture in ones):
        return False
    shown = [[one.model_dump(exclude={"storage_key"}) for one in each] for each in (ones, others)]
    return shown[0] == shown[1]


class Output(BaseModel):
    """One drawn picture; the file in storage is a PNG of exactly the size asked for.

    `reused_from` is the generation that it was drawn in, if it was not drawn, and paid for, again.
    """

    model_config = ConfigDict(frozen=True)

    storage_key: str
    seed: int
    width: int
    height: int
    native_width: int
    native_height: int
    reused_from: str | None = None


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
    image_prompt_strength: float
    canny_low_threshold: int
    canny_high_threshold: int
    pictures: tuple[UsedPicture, ...]
    outputs: tuple[Output, ...]
    created_at: datetime
    job: Job
