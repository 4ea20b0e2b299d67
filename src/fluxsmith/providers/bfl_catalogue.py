"""What BFL's API offers: each model's endpoints, sizes and fields, and the body of a request for one picture.

Source: BFL's API reference of 2026 (FLUX.2, kontext) and its OpenAPI of 2025 (the rest), as in the contract.
Nothing here sends anything. Another fluxsmith answers to the same names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fluxsmith.errors import UnsupportedError
from fluxsmith.providers.base import BaseModelInfo, GenerationTask, Reporter

PREFIX = "bfl/"
CARRIED = frozenset({"text"})
"""Capabilities that a `GenerationTask` has fields for; what the cloud can do beyond is not promised."""


@dataclass(frozen=True)
class Sides:
    """Which widths and heights an endpoint takes, in pixels."""

    least: int
    most: int
    multiple: int
    most_pixels: int

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """The allowed size that is nearest to the one asked for, of about the same aspect."""
        scale = min(1.0, self.most / max(width, height), math.sqrt(self.most_pixels / (width * height)))
        scale = max(scale, self.least / min(width, height))
        wide, high = self._round(width * scale), self._round(height * scale)
        while wide * high > self.most_pixels:
            wide, high = (wide - self.multiple, high) if wide >= high else (wide, high - self.multiple)
        return wide, high

    def _round(self, side: float) -> int:
        rounded = round(side / self.multiple) * self.multiple
        return min(max(rounded, self.least), self.most - self.most % self.multiple)


@dataclass(frozen=True)
class Offer:
    """One model.

    Args:
        id: its name at BFL; here it is called `bfl/<id>`.
        path: the endpoint that draws with it alone; None if there is none.
        finetuned_path: the endpoint that draws with a finetune of it; None if there is none.
        sides: the sizes it takes; None if it takes an aspect ratio instead.
        steps, guidance: the values it takes; None if it has no such field.
    """

    id: str
    title: str
    capabilities: frozenset[str]
    native_side: int = 1024
    path: str | None = None
    finetuned_path: str | None = None
    sides: Sides | None = None
    steps: tuple[int, int] | None = None
    guidance: tuple[float, float] | None = None
    trainable: bool = False

    @property
    def name(self) -> str:
        """What it is called here."""
        return PREFIX + self.id

    def info(self, provider: str, *, trains: bool, training_hint: str) -> BaseModelInfo:
        """How it appears in lists.

        Args:
            trains: whether the host takes finetunes at all.
            training_hint: what to do where it does not.
        """
        return BaseModelInfo(
            name=self.name,
            title=self.title,
            family="flux2" if self.id.startswith("flux-2") else "flux1",
            provider=provider,
            license="BFL's terms of service",
            native_side=self.native_side,
            capabilities=self.capabilities & CARRIED,
            trainable=self.trainable and trains,
            drawable=self.path is not None,
            keeps_loras=self.finetuned_path is not None,
            training_hint="" if self.trainable and trains else training_hint,
        )


_FLUX2 = Sides(64, 2048, 16, 4_000_000)
_FLUX1 = Sides(256, 1440, 32, 1440 * 1440)
_EDITS = frozenset({"text", "edit"})
_PROMPTED = frozenset({"text", "image_prompt"})


def _klein(variant: str, title: str, *, alone: bool = False) -> Offer:
    path = f"/v1/flux-2-klein-{variant}"
    return Offer(
        f"flux-2-klein-{variant}",
        f"FLUX.2 [klein] {title} (BFL)",
        _EDITS,
        path=path if alone else None,
        finetuned_path=f"{path}-finetuned",
        sides=_FLUX2,
    )


OFFERS: tuple[Offer, ...] = (
    _klein("4b", "4B", alone=True),
    _klein("9b", "9B", alone=True),
    _klein("9b-kv", "9B KV"),
    _klein("9b-kv-bf16", "9B KV bf16"),
    _klein("base-4b", "Base 4B"),
    _klein("base-9b", "Base 9B"),
    Offer("flux-2-pro", "FLUX.2 [pro] (BFL)", _EDITS, path="/v1/flux-2-pro", sides=_FLUX2),
    Offer("flux-2-max", "FLUX.2 [max] (BFL)", _EDITS, path="/v1/flux-2-max", sides=_FLUX2),
    Offer(
        "flux-2-flex",
        "FLUX.2 [flex] (BFL)",
        _EDITS,
        path="/v1/flux-2-flex",
        sides=_FLUX2,
        steps=(1, 50),
        guidance=(1.5, 10),
    ),
    Offer("flux-kontext-pro", "FLUX.1 Kontext [pro] (BFL)", _EDITS, path="/v1/flux-kontext-pro"),
    Offer("flux-kontext-max", "FLUX.1 Kontext [max] (BFL)", _EDITS, path="/v1/flux-kontext-max"),
    Offer("flux-pro-1.1", "FLUX 1.1 [pro] (BFL)", _PROMPTED, path="/v1/flux-pro-1.1", sides=_FLUX1),
    Offer(
        "flux-pro-1.1-ultra",
        "FLUX 1.1 [pro] Ultra (BFL)",
        _PROMPTED,
        path="/v1/flux-pro-1.1-ultra",
        finetuned_path="/v1/flux-pro-1.1-ultra-finetuned",
    ),
    Offer(
        "flux-dev",
        "FLUX.1 [dev] (BFL)",
        _PROMPTED,
        path="/v1/flux-dev",
        sides=_FLUX1,
        steps=(1, 50),
        guidance=(1.5, 5),
    ),
    Offer(
        "flux-pro",
        "FLUX.1 [pro] (BFL, or another fluxsmith)",
        _PROMPTED,
        finetuned_path="/v1/flux-pro-finetuned",
        sides=_FLUX1,
        steps=(1, 50),
        guidance=(1.5, 5),
        trainable=True,
    ),
)


def find_offer(name: str) -> Offer | None:
    """The offer that is called so here."""
    return next((offer for offer in OFFERS if offer.name == name), None)


def endpoint(offer: Offer, task: GenerationTask) -> str:
    """Where to send a request.

    Raises:
        UnsupportedError: the model does not draw with a finetune, or only with one.
    """
    path = offer.path if task.remote_lora is None else offer.finetuned_path
    if path is not None:
        return path
    if task.remote_lora is None:
        raise UnsupportedError(
            "finetune-needed",
            f"'{offer.name}' draws only with a finetune.",
            hint="Choose a finetune of it: `fluxsmith models link` names one that BFL keeps.",
            field="model",
        )
    raise UnsupportedError(
        "finetune-unsupported",
        f"'{offer.name}' does not draw with finetunes.",
        hint="FLUX.2 [klein] does; link the finetune to the base that it was trained on.",
        field="model",
    )


def request_body(offer: Offer, task: GenerationTask, part: int) -> dict[str, Any]:
    """The request for one picture: number `part` of the task.

    Raises:
        UnsupportedError: steps or guidance are outside what the model takes.
    """
    body: dict[str, Any] = {"prompt": task.prompt, "seed": task.seed + part, "output_format": "png"}
    if offer.sides is not None:
        body["width"], body["height"] = offer.sides.fit(task.width, task.height)
    else:
        body["aspect_ratio"] = _aspect(task.width, task.height)
    if offer.steps is not None and task.steps is not None:
        body["steps"] = _within("steps", task.steps, offer.steps, offer)
    if offer.guidance is not None and task.guidance is not None:
        body["guidance"] = _within("guidance", task.guidance, offer.guidance, offer)
    if task.remote_lora is not None:
        body |= {"finetune_id": task.remote_lora.id, "finetune_strength": task.remote_lora.strength}
    return body


def tell_what_is_left_out(offer: Offer, task: GenerationTask, report: Reporter) -> None:
    """Say which wishes the model has no field for."""
    wishes = {"steps": (task.steps, offer.steps), "guidance": (task.guidance, offer.guidance)}
    for wish, (wanted, taken) in wishes.items():
        if wanted is not None and taken is None:
            report.message(f"{offer.title} takes no {wish}; it was left out.")


def _within(wish: str, value: float, limits: tuple[float, float], offer: Offer) -> float:
    if limits[0] <= value <= limits[1]:
        return value
    raise UnsupportedError(
        f"{wish}-unsupported",
        f"{offer.title} takes {wish} from {limits[0]:g} to {limits[1]:g}, not {value:g}.",
        hint=f"Leave {wish} empty for the model's own.",
        field=wish,
    )


def _aspect(width: int, height: int) -> str:
    """The ratio in small whole numbers, between 21:9 and 9:21 as BFL takes it."""
    ratio = min(max(width / height, 9 / 21), 21 / 9)
    pairs = [
        (wide, high) for wide in range(1, 22) for high in range(1, 22) if 9 / 21 <= wide / high <= 21 / 9
    ]
    wide, high = min(pairs, key=lambda pair: (abs(pair[0] / pair[1] - ratio), pair[0]))
    return f"{wide}:{high}"
