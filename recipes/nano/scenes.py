"""What a training picture shows, chosen at random, and how it is drawn.

A `Scene` is data: captions are written from it and pictures drawn from it, so that the two agree.
Plain scenes (upright, centred, on white) are what a short prompt should give; random ones vary all that a
finetune must learn to tell apart: style, size, turn, place and background.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from recipes.nano.icons import TRAINED_SETS, IconSet
from recipes.nano.placing import FULL_SCALE, degrees, on_background, placed, premultiplied
from recipes.nano.styles import MADE_STYLES
from recipes.nano.things import Thing

BACKGROUNDS: dict[str, tuple[float, float, float]] = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.06, 0.06, 0.07),
    "gray": (0.6, 0.6, 0.62),
    "red": (0.86, 0.22, 0.2),
    "orange": (0.97, 0.6, 0.2),
    "yellow": (0.98, 0.87, 0.35),
    "green": (0.35, 0.72, 0.4),
    "blue": (0.2, 0.42, 0.85),
    "light blue": (0.65, 0.85, 0.97),
    "purple": (0.55, 0.33, 0.78),
    "pink": (0.98, 0.7, 0.8),
}
MADE_SHARE = 0.35
PLAIN_PLACE_SHARE = 0.4
WHITE_SHARE = 0.45


@dataclass(frozen=True)
class Scene:
    """One picture: a thing in a style, somewhere on a background.

    Args:
        source: index into `TRAINED_SETS`: which set's icon is drawn.
        style: a trained set's name or a made style's.
        scale: share of the picture's width.
        turn: degrees, clockwise.
        shift: centre, x and y, the picture being [-1, 1] wide.
        tint: what is added to the background's colour.
    """

    thing: Thing
    source: int
    style: str
    scale: float = FULL_SCALE
    turn: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    background: str = "white"
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def colour(self) -> tuple[float, float, float]:
        """The background's colour, each channel in [0, 1]."""
        red, green, blue = BACKGROUNDS[self.background]
        return (red + self.tint[0], green + self.tint[1], blue + self.tint[2])


def plain_scenes(things: list[Thing]) -> list[Scene]:
    """Every thing once in each trained style, upright, centred, on white."""
    return [Scene(thing, source, style) for thing in things for source, style in enumerate(TRAINED_SETS)]


def random_scene(things: list[Thing], rng: random.Random) -> Scene:
    """A scene with all that varies drawn at random."""
    source = rng.randrange(len(TRAINED_SETS))
    made = rng.random() < MADE_SHARE
    style = rng.choice(list(MADE_STYLES)) if made else list(TRAINED_SETS)[source]
    scale, turn, shift = _placement(rng)
    background, tint = _background(style, rng)
    return Scene(rng.choice(things), source, style, scale, turn, shift, background, tint)


def _placement(rng: random.Random) -> tuple[float, float, tuple[float, float]]:
    if rng.random() < PLAIN_PLACE_SHARE:
        return FULL_SCALE, 0.0, (0.0, 0.0)
    scale = rng.uniform(0.45, 0.95)
    turn = rng.uniform(-35, 35) if rng.random() < 0.6 else 0.0
    room = max(0.0, 1 - scale)
    return scale, turn, (rng.uniform(-room, room), rng.uniform(-room, room))


def _background(style: str, rng: random.Random) -> tuple[str, tuple[float, float, float]]:
    if rng.random() < WHITE_SHARE:
        return "white", (0.0, 0.0, 0.0)
    dark_lines = style in ("outline", "silhouette")
    name = rng.choice([name for name in BACKGROUNDS if name != "black" or not dark_lines])
    if name == "white":
        return name, (0.0, 0.0, 0.0)
    red, green, blue = (rng.uniform(-0.06, 0.06) for _ in range(3))
    return name, (red, green, blue)


def draw(scenes: list[Scene], icons: IconSet, side: int) -> Tensor:
    """Pictures of scenes, (n, 3, side, side) in [-1, 1]."""
    rows = {name: row for row, name in enumerate(icons.names)}
    pictures = [icons.pictures[rows[scene.thing.icon], scene.source] for scene in scenes]
    drawn = placed(
        premultiplied(torch.stack([torch.tensor(picture) for picture in pictures])),
        torch.tensor([scene.scale for scene in scenes]),
        torch.tensor([degrees(scene.turn) for scene in scenes]),
        torch.tensor([scene.shift for scene in scenes]),
        side,
        supersample=2,
    )
    styled = torch.stack([_styled(drawn[i], scene.style) for i, scene in enumerate(scenes)])
    colours = torch.tensor([scene.colour for scene in scenes]).clamp(0, 1)
    return on_background(styled, colours.view(-1, 3, 1, 1))


def _styled(icon: Tensor, style: str) -> Tensor:
    if style not in MADE_STYLES:
        return icon
    return MADE_STYLES[style](icon.unsqueeze(0)).squeeze(0)
