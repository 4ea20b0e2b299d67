"""What fal offers for FLUX: trainers with their fields and prices, and endpoints that draw with LoRAs.

Source: the model pages of fal (their plain versions end in /llms.txt), August to November 2026. Prices are
what fal showed then; what it charges is on its bill. Left out: the trainers of edits (`…/trainer/edit`):
they learn from pairs of pictures, since a dataset here holds no references. Nothing here sends anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fluxsmith.errors import NotFoundError, UnsupportedError
from fluxsmith.providers.base import (
    BaseModelInfo,
    FinetuneParameters,
    FinetuneTask,
    GenerationTask,
    StepPrice,
)
from fluxsmith.providers.bfl_catalogue import Sides

PREFIX = "fal/"
STEPS = (100, 10_000)
RESOLUTIONS = (512, 768, 1024)
DRAW_STEPS = (4, 50)
GUIDANCE = (0.0, 20.0)
SIDES = Sides(512, 2048, 16, 4_000_000)
TAKEN = frozenset({"steps", "learning_rate", "resolution", "finetune_type"})
_OURS = frozenset({"sample_every", "sample_prompts", "checkpoint_every"})
"""What only shapes how a training is followed here."""


@dataclass(frozen=True)
class FalOffer:
    """One base model.

    Args:
        id: its name; here it is called `fal/<id>`.
        trainer: the endpoint that trains on it.
        zip_field: the trainer's name for the pictures.
        caption_field: the trainer's name for the words of pictures without a caption.
        resolutions: whether the trainer takes a resolution.
        draws: the endpoint that draws with its LoRAs, and without one.
    """

    id: str
    title: str
    family: str
    trainer: str
    draws: str
    price: StepPrice
    license: str
    zip_field: str = "image_data_url"
    caption_field: str = "default_caption"
    resolutions: bool = False

    @property
    def name(self) -> str:
        """What it is called here."""
        return PREFIX + self.id

    def info(self, provider: str) -> BaseModelInfo:
        """How it appears in lists."""
        return BaseModelInfo(
            name=self.name,
            title=f"{self.title} (fal)",
            family=self.family,
            provider=provider,
            license=self.license,
            native_side=1024,
            capabilities=frozenset({"text"}),
            trainable=True,
            keeps_loras=True,
            price=self.price,
        )


_DEV = "FLUX dev non-commercial, at fal under its terms"
_KLEIN2 = (0.0046, "fal-ai/flux-2-klein-{0}-base-trainer", "fal-ai/flux-2/klein/{0}/base/lora")


def _flux2_klein(size: str, license_name: str) -> FalOffer:
    usd, trainer, draws = _KLEIN2
    return FalOffer(
        f"flux-2-klein-base-{size}",
        f"FLUX.2 [klein] Base {size.upper()}",
        "flux2",
        trainer.format(size),
        draws.format(size),
        StepPrice(usd, STEPS[0]),
        license_name,
    )


OFFERS: tuple[FalOffer, ...] = (
    FalOffer(
        "flux-3-klein-base",
        "FLUX.3 [klein] Base",
        "flux3",
        "blackforestlabs/flux-3/klein/base/trainer",
        "blackforestlabs/flux-3/klein/base/lora",
        StepPrice(0.0043, STEPS[0]),
        "FLUX Kommunity License",
        zip_field="images_data_url",
        caption_field="trigger_phrase",
        resolutions=True,
    ),
    _flux2_klein("4b", "Apache 2.0"),
    _flux2_klein("9b", _DEV),
    FalOffer(
        "flux-2-dev",
        "FLUX.2 [dev]",
        "flux2",
        "fal-ai/flux-2-trainer",
        "fal-ai/flux-2/lora",
        StepPrice(0.0064, STEPS[0]),
        _DEV,
    ),
)


def offer_named(name: str) -> FalOffer:
    """The offer that is called so here.

    Raises:
        NotFoundError: there is none.
    """
    offer = next((offer for offer in OFFERS if offer.name == name), None)
    if offer is None:
        raise NotFoundError("model-not-found", f"fal offers no model '{name}'.", field="model")
    return offer


def training_body(offer: FalOffer, task: FinetuneTask, pictures_url: str) -> dict[str, Any]:
    """The request to a trainer.

    Raises:
        UnsupportedError: the trainer does not take these parameters.
    """
    wanted = task.parameters
    _within("steps", wanted.steps, STEPS, offer)
    if wanted.finetune_type != "lora":
        raise _refused("finetune_type", f"{offer.title} is trained at fal as a LoRA only.", "Choose 'lora'.")
    body: dict[str, Any] = {
        offer.zip_field: pictures_url,
        offer.caption_field: task.trigger_word,
        "steps": wanted.steps,
    }
    if wanted.learning_rate is not None:
        body["learning_rate"] = wanted.learning_rate
    if wanted.resolution is not None and offer.resolutions:
        if wanted.resolution not in RESOLUTIONS:
            sides = ", ".join(map(str, RESOLUTIONS))
            raise _refused(
                "resolution",
                f"{offer.title} is trained at fal at {sides} pixels, not {wanted.resolution}.",
                "Choose one of them, or leave it empty.",
            )
        body["resolution"] = wanted.resolution
    return body


def left_out(offer: FalOffer, wanted: FinetuneParameters) -> list[str]:
    """Parameters that were set, and that the trainer has no field for."""
    taken = TAKEN if offer.resolutions else TAKEN - {"resolution"}
    fields = FinetuneParameters.model_fields
    return [
        name
        for name, field in fields.items()
        if name not in taken | _OURS and getattr(wanted, name) != field.default
    ]


def drawing_body(offer: FalOffer, task: GenerationTask, part: int, lora: str | None) -> dict[str, Any]:
    """The request for one picture: number `part` of the task, with a LoRA by its address.

    Raises:
        UnsupportedError: steps or guidance are outside what the endpoint takes.
    """
    width, height = SIDES.fit(task.width, task.height)
    body: dict[str, Any] = {
        "prompt": task.prompt,
        "seed": task.seed + part,
        "image_size": {"width": width, "height": height},
        "num_images": 1,
        "output_format": "png",
        "loras": [],
    }
    if task.steps is not None:
        body["num_inference_steps"] = _within("steps", task.steps, DRAW_STEPS, offer)
    if task.guidance is not None:
        body["guidance_scale"] = _within("guidance", task.guidance, GUIDANCE, offer)
    if lora is not None:
        body["loras"] = [{"path": lora, "scale": strength_of(task)}]
    return body


def strength_of(task: GenerationTask) -> float:
    """How strongly the task's LoRA is to work; 1 without one."""
    if task.remote_lora is not None:
        return task.remote_lora.strength
    return task.adapters[0].strength if task.adapters else 1.0


def _within(wish: str, value: float, limits: tuple[float, float], offer: FalOffer) -> float:
    if limits[0] <= value <= limits[1]:
        return value
    raise _refused(
        wish,
        f"{offer.title} takes {wish} from {limits[0]:,g} to {limits[1]:,g} at fal, not {value:,g}.",
        "Change it, or do it on this machine.",
    )


def _refused(field: str, words: str, hint: str) -> UnsupportedError:
    return UnsupportedError(f"{field.replace('_', '-')}-unsupported", words, hint=hint, field=field)
