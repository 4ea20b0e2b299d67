"""What BFL's API offers: each model's endpoints and sizes, and what it can do by the fields of those.

Fields and their limits are the contract's; requests are made in `bfl_request`. Another fluxsmith answers to
the same names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fluxsmith.contract.endpoints import GENERATION_ENDPOINTS, Endpoint
from fluxsmith.providers.base import BaseModelInfo

PREFIX = "bfl/"
_BY_PATH = {endpoint.path: endpoint for endpoint in GENERATION_ENDPOINTS}


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
        alone: the endpoints that draw with it alone; the pictures to follow decide which of them does.
        finetuned: the same with a finetune of it.
        sides: the sizes it takes where an endpoint has fields for them.
    """

    id: str
    title: str
    alone: tuple[Endpoint, ...] = ()
    finetuned: tuple[Endpoint, ...] = ()
    sides: Sides | None = None
    native_side: int = 1024
    trainable: bool = False

    @property
    def name(self) -> str:
        """What it is called here."""
        return PREFIX + self.id

    @property
    def capabilities(self) -> frozenset[str]:
        """What one or the other of its endpoints can do."""
        return frozenset().union(*map(capabilities_of, (*self.alone, *self.finetuned)))

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
            capabilities=self.capabilities,
            trainable=self.trainable and trains,
            drawable=bool(self.alone),
            keeps_loras=bool(self.finetuned),
            training_hint="" if self.trainable and trains else training_hint,
        )


def capabilities_of(endpoint: Endpoint) -> frozenset[str]:
    """What an endpoint draws from: words, unless it is there for a picture, and pictures in their uses."""
    words = frozenset[str]() if endpoint.needs else frozenset({"text"})
    return words | frozenset(endpoint.picture_fields.values())


def _at(*paths: str) -> tuple[Endpoint, ...]:
    return tuple(_BY_PATH[f"/v1/{path}"] for path in paths)


def _offer(name: str, title: str, *more: str, finetuned: bool = False, sides: Sides | None = None) -> Offer:
    """A model that draws at the endpoint of its name, and at `more`."""
    return Offer(
        name, f"{title} (BFL)", _at(name, *more), _at(f"{name}-finetuned") if finetuned else (), sides
    )


def _klein(variant: str, title: str, *, alone: bool = False) -> Offer:
    """A variant of FLUX.2 [klein]; some draw only with a finetune."""
    name = f"flux-2-klein-{variant}"
    return Offer(
        name,
        f"FLUX.2 [klein] {title} (BFL)",
        _at(name) if alone else (),
        _at(f"{name}-finetuned"),
        _FLUX2,
    )


_FLUX2 = Sides(64, 2048, 16, 4_000_000)
_FLUX1 = Sides(256, 1440, 32, 1440 * 1440)
_TOOLS = ("flux-pro-1.0-fill", "flux-pro-1.0-canny", "flux-pro-1.0-depth")

OFFERS: tuple[Offer, ...] = (
    _klein("4b", "4B", alone=True),
    _klein("9b", "9B", alone=True),
    _klein("9b-kv", "9B KV"),
    _klein("9b-kv-bf16", "9B KV bf16"),
    _klein("base-4b", "Base 4B"),
    _klein("base-9b", "Base 9B"),
    _offer("flux-2-pro", "FLUX.2 [pro]", sides=_FLUX2),
    _offer("flux-2-max", "FLUX.2 [max]", sides=_FLUX2),
    _offer("flux-2-flex", "FLUX.2 [flex]", sides=_FLUX2),
    _offer("flux-kontext-pro", "FLUX.1 Kontext [pro]"),
    _offer("flux-kontext-max", "FLUX.1 Kontext [max]"),
    _offer("flux-pro-1.0-fill", "FLUX.1 Fill [pro]", "flux-pro-1.0-expand"),
    _offer("flux-pro-1.0-canny", "FLUX.1 Canny [pro]"),
    _offer("flux-pro-1.0-depth", "FLUX.1 Depth [pro]"),
    _offer("flux-pro-1.1", "FLUX 1.1 [pro]", sides=_FLUX1),
    _offer("flux-pro-1.1-ultra", "FLUX 1.1 [pro] Ultra", finetuned=True),
    _offer("flux-dev", "FLUX.1 [dev]", sides=_FLUX1),
    Offer(
        "flux-pro",
        "FLUX.1 [pro] (BFL, or another fluxsmith)",
        finetuned=_at("flux-pro-finetuned", *(f"{tool}-finetuned" for tool in _TOOLS)),
        sides=_FLUX1,
        trainable=True,
    ),
)


def find_offer(name: str) -> Offer | None:
    """The offer that is called so here."""
    return next((offer for offer in OFFERS if offer.name == name), None)
