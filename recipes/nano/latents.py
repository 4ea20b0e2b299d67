"""Draw the training scenes once and keep their latents, for both resolutions.

A scene's latents are normalised with `vae.bn` exactly as `Flux2KleinPipeline` does it for reference
pictures, so what the transformer learns is what the pipeline decodes.
"""

from __future__ import annotations

import pickle
import random
from dataclasses import dataclass, replace

import torch
from diffusers import AutoencoderKLFlux2
from torch import Tensor
from torch.nn import functional as fn

from fluxsmith.engine.controls import edges, relief
from recipes.nano.icons import load_icons
from recipes.nano.pixels import SIDES, as_reference, picture_of
from recipes.nano.scenes import Scene, draw, plain_scenes, random_scene
from recipes.nano.things import Thing, shown_things
from recipes.nano.workplace import Workplace

SCENES = 14_000
PLAIN_SHARE = 0.5
"""Of what the transformer is shown: plain scenes, which short prompts ask for."""


@dataclass(frozen=True)
class Encoded:
    """Scenes with latents.

    Args:
        scenes: each picture once.
        plain: indices of the plain scenes by the thing's icon, in the order of the styles.
        varied: indices of all others.
        tokens: by side, (scene, side/16 * side/16, channels) in half precision.
        controls: edges or relief of each scene's picture, as `tokens` of the small side.
    """

    scenes: list[Scene]
    plain: dict[str, list[int]]
    varied: list[int]
    tokens: dict[int, Tensor]
    controls: Tensor

    def choose(self, rng: random.Random) -> int:
        """The index of the next scene to learn."""
        if self.varied and rng.random() >= PLAIN_SHARE:
            return rng.choice(self.varied)
        return rng.choice(self.plain[rng.choice(list(self.plain))])

    def reference(self, scene: Scene, rng: random.Random) -> int:
        """The index of a plain picture of the same thing in another style."""
        others = [
            number for number in self.plain[scene.thing.icon] if self.scenes[number].style != scene.style
        ]
        return rng.choice(others)

    def only(self, things: list[Thing]) -> Encoded:
        """The same, but some of its things are all that training picks."""
        plain = {thing.icon: self.plain[thing.icon] for thing in things}
        varied = [number for number in self.varied if self.scenes[number].thing.icon in plain]
        return replace(self, plain=plain, varied=varied)


def load_latents(work: Workplace) -> Encoded:
    """What `encode_scenes` left in the work folder."""
    scenes: list[Scene] = pickle.loads(work.path("scenes.pkl").read_bytes())
    numbers = {scene: number for number, scene in enumerate(scenes)}
    things = shown_things(work.fraction)
    plain = {thing.icon: [numbers[scene] for scene in plain_scenes([thing])] for thing in things}
    in_plain = {number for row in plain.values() for number in row}
    varied = [number for number in range(len(scenes)) if number not in in_plain]
    tokens = {side: torch.load(work.path(f"latents-{side}.pt")) for side in SIDES}
    return Encoded(scenes, plain, varied, tokens, torch.load(work.path("controls.pt")))


def encode_scenes(work: Workplace) -> None:
    """Draw every plain scene and `SCENES` random ones, and encode them."""
    if work.path(f"latents-{SIDES[-1]}.pt").exists():
        return
    icons = load_icons(work)
    vae = AutoencoderKLFlux2.from_pretrained(work.path("vae")).eval()
    things = shown_things(work.fraction)
    rng = random.Random(1)
    drawn = plain_scenes(things) + [random_scene(things, rng) for _ in range(work.count(SCENES))]
    scenes = list(dict.fromkeys(drawn))
    work.path("scenes.pkl").write_bytes(pickle.dumps(scenes))
    parts: dict[int, list[Tensor]] = {side: [] for side in SIDES}
    for start in range(0, len(scenes), 32):
        pictures = draw(scenes[start : start + 32], icons, SIDES[-1])
        for side in SIDES:
            smaller = fn.interpolate(pictures, size=side, mode="bilinear", antialias=True)
            parts[side].append(encoded(vae, smaller).half())
    for side in SIDES:
        torch.save(torch.cat(parts[side]), work.path(f"latents-{side}.pt"))
    work.log("latents", scenes=len(scenes), things=len(things))


def encode_controls(work: Workplace) -> None:
    """Encode every scene's edges, or its relief."""
    if work.path("controls.pt").exists():
        return
    icons = load_icons(work)
    vae = AutoencoderKLFlux2.from_pretrained(work.path("vae")).eval()
    scenes: list[Scene] = pickle.loads(work.path("scenes.pkl").read_bytes())
    rng = random.Random(4)
    parts = []
    for start in range(0, len(scenes), 32):
        pictures = [picture_of(pixels) for pixels in draw(scenes[start : start + 32], icons, SIDES[-1])]
        controls = [rng.choice((edges, relief))(picture) for picture in pictures]
        parts.append(encoded(vae, torch.stack([as_reference(control) for control in controls])).half())
    torch.save(torch.cat(parts), work.path("controls.pt"))
    work.log("controls", scenes=len(scenes))


@torch.no_grad()
def encoded(vae: AutoencoderKLFlux2, pictures: Tensor) -> Tensor:
    """(n, 3, side, side) in [-1, 1] -> normalised tokens (n, side/16 * side/16, 4 * channels)."""
    latents: Tensor = fn.pixel_unshuffle(vae.encode(pictures).latent_dist.mode(), 2)
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    deviation = (vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).sqrt()
    normal: Tensor = (latents - mean) / deviation
    return normal.flatten(2).transpose(1, 2)
