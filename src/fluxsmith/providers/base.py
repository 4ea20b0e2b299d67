"""What a provider is: somebody who carries out finetunes and generations for us.

The objects here are what services hand down and providers hand back. They hold plain values and
local paths, never database rows; a provider never sees who asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from fluxsmith.core.fill_pictures import Margins

Mode = Literal["general", "character", "style", "product"]
FinetuneType = Literal["lora", "full"]
Priority = Literal["speed", "quality", "high_res_only"]
Schedule = Literal["constant", "cosine", "linear"]
TimestepSampling = Literal["logit_normal", "uniform"]


class FinetuneParameters(BaseModel):
    """Everything that shapes a finetune besides its pictures and its words.

    Titles, descriptions and limits here are the ones that the page, the shell and the API show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(
        300,
        ge=1,
        le=20_000,
        title="Steps",
        description="Optimizer steps. 100 to 150 for a quick look, 300 as a rule.",
    )
    finetune_type: FinetuneType = Field(
        "lora",
        title="Type",
        description="lora trains small added matrices; full trains all weights, then extracts a LoRA.",
    )
    lora_rank: int = Field(
        16, ge=1, le=128, title="LoRA rank", description="Capacity of the LoRA; its file grows with it."
    )
    lora_alpha: float | None = Field(
        None,
        gt=0,
        le=512,
        title="LoRA alpha",
        description="Scale of the LoRA; empty means the same as its rank.",
    )
    learning_rate: float | None = Field(
        None, ge=1e-6, le=5e-3, title="Learning rate", description="Empty means what suits the base model."
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=32,
        title="Batch size",
        description="Pictures a step; empty means what suits the priority.",
    )
    gradient_accumulation: int = Field(
        1,
        ge=1,
        le=32,
        title="Gradient accumulation",
        description="Batches added up before each optimizer step.",
    )
    warmup_steps: int = Field(
        10, ge=0, le=1_000, title="Warm-up steps", description="Steps in which the rate rises from zero."
    )
    schedule: Schedule = Field(
        "constant", title="Schedule", description="How the rate changes after the warm-up."
    )
    max_grad_norm: float = Field(
        1.0, gt=0, le=100, title="Gradient clip", description="Largest norm of the gradient."
    )
    weight_decay: float = Field(1e-4, ge=0, le=1, title="Weight decay", description="AdamW's decay.")
    caption_dropout: float = Field(
        0.05, ge=0, le=1, title="Caption dropout", description="Share of steps that see no caption."
    )
    timestep_sampling: TimestepSampling = Field(
        "logit_normal", title="Timesteps", description="Where on the way from noise to picture to train."
    )
    resolution: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=16,
        title="Resolution",
        description="Side of the square area trained at, in pixels; empty means the model's own.",
    )
    sample_every: int = Field(
        50, ge=0, le=20_000, title="Sample every", description="Steps between live samples; 0 for none."
    )
    sample_prompts: tuple[str, ...] = Field(
        (),
        max_length=8,
        title="Sample prompts",
        description="Prompts of the live samples; empty means the trigger word.",
    )
    checkpoint_every: int = Field(
        25, ge=1, le=20_000, title="Checkpoint every", description="Steps between checkpoints."
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**32 - 1,
        title="Seed",
        description="The same seed, pictures and parameters give the same LoRA on a CPU.",
    )
    priority: Priority = Field(
        "quality",
        title="Priority",
        description="speed halves the batch; high_res_only never trains below the full resolution.",
    )


@dataclass(frozen=True)
class TrainingPicture:
    """One picture of a snapshot: an RGB PNG on the local disk and the words for it."""

    path: Path
    caption: str


@dataclass(frozen=True)
class FinetuneTask:
    """One finetune to carry out. `run_dir` survives attempts: checkpoints live in it."""

    id: str
    base_model: str
    pictures: tuple[TrainingPicture, ...]
    trigger_word: str
    parameters: FinetuneParameters
    run_dir: Path
    mode: Mode = "general"
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FinetuneOutcome:
    """What a finetune came to: the LoRA and facts about the run (JSON values).

    The LoRA is a file here, stays with the provider under its `remote_id`, or both.
    """

    lora_path: Path | None
    facts: dict[str, object]
    remote_id: str | None = None


@dataclass(frozen=True)
class LoraPlace:
    """Which model a name stands for, and where its LoRA is: a file here, with the provider of its base model
    under `remote_id`, or both. A base model has neither."""

    model_id: str
    base_model: str
    path: Path | None
    remote_id: str | None


@dataclass(frozen=True)
class LoraFacts:
    """What a provider found in a LoRA's file: `trigger_word` is empty where its maker wrote none."""

    rank: int
    trigger_word: str = ""


@dataclass(frozen=True)
class Adapter:
    """A LoRA to draw with: `id` names it in caches, `strength` 0 switches it off."""

    id: str
    path: Path
    strength: float


@dataclass(frozen=True)
class RemoteLora:
    """A LoRA that the provider keeps, under its name there."""

    id: str
    strength: float


@dataclass(frozen=True)
class Control:
    """A picture whose edges or relief is followed; `ready` if it shows just these already.

    `low` and `high` are the thresholds of Canny's edges, 0 to 500.
    """

    kind: Literal["canny", "depth"]
    path: Path
    low: int
    high: int
    ready: bool


@dataclass(frozen=True)
class Fill:
    """A picture that is kept, but where its mask is white; both PNG files of one size.

    `margins` are what the picture was expanded by, and what the mask shows then; None if it was not.
    """

    picture: Path
    mask: Path
    margins: Margins | None = None


@dataclass(frozen=True)
class Followed:
    """Pictures that a drawing follows: plain RGB PNG files.

    Args:
        references: to be edited, in the order in which a prompt may speak of them.
        image_prompts: to draw something like.
        image_prompt_strength: how clearly image prompts are seen, 0 to 1.
        control: what gives the shapes.
        fill: what is kept.
    """

    references: tuple[Path, ...] = ()
    image_prompts: tuple[Path, ...] = ()
    image_prompt_strength: float = 1.0
    control: Control | None = None
    fill: Fill | None = None


@dataclass(frozen=True)
class GenerationTask:
    """One request for pictures of exactly `width` × `height` pixels.

    Picture i is drawn with `seed + i`. None for steps or guidance means the model's own default.
    """

    id: str
    base_model: str
    prompt: str
    width: int
    height: int
    seed: int
    count: int = 1
    steps: int | None = None
    guidance: float | None = None
    adapters: tuple[Adapter, ...] = ()
    remote_lora: RemoteLora | None = None
    followed: Followed = field(default_factory=Followed)


@dataclass(frozen=True)
class Picture:
    """One drawn picture: PNG bytes, its seed, and the size it was natively drawn at."""

    png: bytes
    seed: int
    native_width: int
    native_height: int


@dataclass(frozen=True)
class StepPrice:
    """What a finetune costs: `usd` a step, and no less than `least_steps` of them."""

    usd: float
    least_steps: int

    def of(self, steps: int) -> float:
        """The cost of that many steps in USD, to the cent, rounded up."""
        return math.ceil(round(self.usd * max(steps, self.least_steps) * 100, 6)) / 100


@dataclass(frozen=True)
class BaseModelInfo:
    """A base model that a provider can train or draw with.

    Args:
        drawable: whether it draws by itself, not only with a LoRA.
        keeps_loras: whether it draws with LoRAs that its provider keeps.
        training_hint: what to do instead where it is not trainable; may be empty.
        price: what a finetune of it costs; None if nothing, or if its provider tells no price.
    """

    name: str
    title: str
    family: str
    provider: str
    license: str
    native_side: int
    capabilities: frozenset[str]
    trainable: bool
    drawable: bool = True
    keeps_loras: bool = False
    training_hint: str = ""
    price: StepPrice | None = None


class Reporter(Protocol):
    """Where a provider tells how far it is, and learns that it should stop."""

    def progress(
        self,
        stage: str,
        step: int,
        total: int,
        *,
        loss: float | None = None,
        learning_rate: float | None = None,
        eta_s: float | None = None,
    ) -> None:
        """Tell the stage (a few words), the step in it and the seconds left."""

    def message(self, text: str) -> None:
        """Add a line to the job's log, in words for people."""

    def cancelled(self) -> bool:
        """Whether somebody asked to stop; cheap, call it at every step."""


class TrainingReporter(Reporter, Protocol):
    """A reporter that also takes the live samples of a finetune."""

    def sample(self, step: int, prompt: str, png: Path) -> None:
        """Hand over a live sample drawn after `step` steps."""


class Provider(Protocol):
    """Somebody who carries out work. Calls block until the work has ended.

    A call may be repeated after a crash with the same task: it must continue or start over, and
    never leave two results.

    `remote` tells that the work is done elsewhere, so that whoever carries out its jobs here only waits.
    """

    name: str
    remote: bool

    def models(self) -> list[BaseModelInfo]:
        """Base models that this provider offers now."""

    def check_lora(self, model: str, path: Path) -> LoraFacts:
        """Check that a file is a whole LoRA which `model` can draw with, without loading either.

        Raises:
            ValidationError: it is not, in words; `UnsupportedError` if this provider takes no files.
        """

    def warm_up(self, model: str) -> None:
        """Load what the first picture of `model` would wait for; a provider with nothing to load returns."""

    def finetune(self, task: FinetuneTask, report: TrainingReporter) -> FinetuneOutcome:
        """Train; raises `Cancelled`, `CapacityError` or `EngineError`."""

    def generate(self, task: GenerationTask, report: Reporter) -> list[Picture]:
        """Draw; raises `Cancelled`, `UnsupportedError`, `CapacityError` or `EngineError`."""
