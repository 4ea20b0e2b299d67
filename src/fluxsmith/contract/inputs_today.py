"""Request bodies of BFL's API as it is today: FLUX.2.

Source: BFL's API reference of 2026. Names of the classes are ours, since BFL publishes none.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from fluxsmith.contract.base import Format, Notified, OptionalSeed, OutputFormat, Prompt

SMALLEST_SIDE_PX = 64
MOST_PIXELS = 4_000_000


def _zero_or_large_enough(side: int) -> int:
    if 0 < side < SMALLEST_SIDE_PX:
        raise ValueError(f"must be at least {SMALLEST_SIDE_PX}, or 0 for automatic")
    return side


AutomaticSide = Annotated[int, Field(ge=0, multiple_of=16), AfterValidator(_zero_or_large_enough)]
InputImage = Annotated[str | None, Field(description="Picture to edit, as base64 or as a URL.")]


class Flux2KleinInputs(Notified):
    """Body of `/v1/flux-2-klein-4b`."""

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
    safety_tolerance: int = Field(
        2,
        ge=0,
        le=5,
        description="Tolerance level for input and output moderation, 0 being most strict. This server "
        "accepts it, but checks nothing yet.",
    )
    output_format: Format = OutputFormat.jpeg

    @model_validator(mode="after")
    def _not_too_many_pixels(self) -> Flux2KleinInputs:
        if self.width * self.height > MOST_PIXELS:
            raise ValueError(
                f"Width × height must be at most {MOST_PIXELS:,} pixels, not {self.width * self.height:,}"
            )
        return self
