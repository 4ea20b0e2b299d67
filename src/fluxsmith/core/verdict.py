"""Advice on a set of pictures."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Verdict(BaseModel):
    """One thing that is wrong with some pictures, or, where `image_ids` is empty, with the set."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    hint: str
    image_ids: tuple[str, ...] = ()
