"""What one training run is, in plain values: the file that the child process reads.

The provider writes it, the engine reads it, and a checkpoint remembers its fingerprint. Nothing here
knows about torch, services or requests: by now every default has been filled in.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluxsmith.errors import EngineError

_WHERE_NOT_WHAT = ("model_folder", "memory_limit_bytes", "checkpoint_every", "pictures", "metadata")
"""Fields that do not change what is learned; pictures count by their content, see `fingerprint`."""

_BOUNDS: dict[str, tuple[float, float]] = {
    "steps": (1, 1_000_000),
    "lora_rank": (1, 1024),
    "lora_alpha": (1e-6, 1e6),
    "learning_rate": (1e-9, 1.0),
    "batch_size": (1, 1024),
    "gradient_accumulation": (1, 1024),
    "warmup_steps": (0, 1_000_000),
    "max_grad_norm": (1e-9, 1e9),
    "weight_decay": (0, 1),
    "caption_dropout": (0, 1),
    "resolution": (16, 8192),
    "sample_every": (0, 1_000_000),
    "checkpoint_every": (1, 1_000_000),
    "seed": (0, 2**63 - 1),
}
_CHOICES = {
    "finetune_type": ("lora", "full"),
    "schedule": ("constant", "cosine", "linear"),
    "timestep_sampling": ("logit_normal", "uniform"),
}


@dataclass(frozen=True)
class SpecPicture:
    """One picture to learn: a local file, and the words for it."""

    path: str
    caption: str


@dataclass(frozen=True)
class TrainSpec:
    """One training run. `resolution` is the side of the square trained at, in pixels."""

    model_folder: str
    pictures: tuple[SpecPicture, ...]
    trigger_word: str
    steps: int
    lora_rank: int
    lora_alpha: float
    learning_rate: float
    batch_size: int
    resolution: int
    finetune_type: str = "lora"
    gradient_accumulation: int = 1
    warmup_steps: int = 10
    schedule: str = "constant"
    max_grad_norm: float = 1.0
    weight_decay: float = 1e-4
    caption_dropout: float = 0.05
    timestep_sampling: str = "logit_normal"
    sample_every: int = 0
    sample_prompts: tuple[str, ...] = ()
    checkpoint_every: int = 25
    seed: int = 0
    device: str = "auto"
    memory_limit_bytes: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> TrainSpec:
        """Read and check a specification.

        Raises:
            EngineError: it is not JSON, or a field is missing, unknown or out of bounds.
        """
        try:
            values = json.loads(text)
            if not isinstance(values, dict):
                raise TypeError("the top is no object")
            values["pictures"] = tuple(SpecPicture(**picture) for picture in values["pictures"])
            values["sample_prompts"] = tuple(values.get("sample_prompts", ()))
            spec = cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise _invalid(f"it cannot be read ({error})") from error
        _check(spec)
        return spec

    @classmethod
    def read(cls, path: Path) -> TrainSpec:
        """Read and check the specification in `path`.

        Raises:
            EngineError: the file is missing or wrong.
        """
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise _invalid(f"{path} cannot be opened ({error.strerror})") from error

    def fingerprint(self) -> str:
        """A hash of everything that changes what is learned, apart from the pictures' bytes."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if k not in _WHERE_NOT_WHAT}
        values["captions"] = [picture.caption for picture in self.pictures]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _check(spec: TrainSpec) -> None:
    values: dict[str, Any] = dataclasses.asdict(spec)
    for name, (low, high) in _BOUNDS.items():
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _invalid(f"{name} is {value!r}, and has to be from {low:g} to {high:g}")
    for name, choices in _CHOICES.items():
        if values[name] not in choices:
            raise _invalid(f"{name} is {values[name]!r}, and has to be one of {', '.join(choices)}")
    if spec.resolution % 16:
        raise _invalid(f"resolution is {spec.resolution}, and has to be a multiple of 16")
    if not spec.pictures:
        raise _invalid("there are no pictures")


def _invalid(why: str) -> EngineError:
    return EngineError("spec-invalid", f"The description of the training run is wrong: {why}.")
