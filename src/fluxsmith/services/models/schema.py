"""What a model looks like to people and programs."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A base model, or a LoRA finetuned from one."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    kind: Literal["base", "lora"]
    base_model: str
    trigger_word: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    license: str | None = None
    capabilities: tuple[str, ...] = ()
    created_at: datetime | None = None
