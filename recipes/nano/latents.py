"""Draw the training scenes once and keep their latents, for both resolutions.

A scene's latents are normalised with `vae.bn` exactly as `Flux2KleinPipeline` does it for reference
pictures, so what the transformer learns is what the pipeline decodes.
"""

from __future__ import annotations

import pickle
import random
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLFlux2
from torch import Tensor
from torch.nn import functional as fn

from recipes.nano.icons import load_icons
from recipes.nano.scenes import Scene, draw, plain_scenes, random_scene
from recipes.nano.things import known_things
from recipes.nano.workplace import Workplace

SCENES = 12_000
SIDES = (64, 128)


@dataclass(frozen=True)
class Encoded:
    """Scenes with latents.

    Args:
        scenes: each picture once.
        draws: indices into the scenes, as often as they came up, plain ones twice; training picks from these.
        tokens: by side, (scene, side/16 * side/16, channels) in half precision.
    """

    scenes: list[Scene]
    draws: list[int]
    tokens: dict[int, Tensor]


def load_latents(work: Workplace) -> Encoded:
    """What `encode_scenes` left in the work folder."""
    scenes, every_draw = pickle.loads(work.path("scenes.pkl").read_bytes())
    known = {thing.icon for thing in known_things(work.fraction)}
    plain = set(plain_scenes(known_things(work.fraction)))
    draws = [number for number in every_draw if scenes[number].thing.icon in known]
    draws += [number for number in draws if scenes[number] in plain]
    return Encoded(scenes, draws, {side: torch.load(work.path(f"latents-{side}.pt")) for side in SIDES})


def encode_scenes(work: Workplace) -> None:
    """Draw every plain scene and `SCENES` random ones, and encode them."""
    if work.path(f"latents-{SIDES[-1]}.pt").exists():
        return
    icons = load_icons(work)
    vae = AutoencoderKLFlux2.from_pretrained(work.path("vae")).eval()
    things = known_things(work.fraction)
    rng = random.Random(1)
    drawn = plain_scenes(things) + [random_scene(things, rng) for _ in range(work.count(SCENES))]
    numbered = {scene: number for number, scene in enumerate(dict.fromkeys(drawn))}
    scenes = list(numbered)
    work.path("scenes.pkl").write_bytes(pickle.dumps((scenes, [numbered[scene] for scene in drawn])))
    parts: dict[int, list[Tensor]] = {side: [] for side in SIDES}
    for start in range(0, len(scenes), 32):
        pictures = draw(scenes[start : start + 32], icons, SIDES[-1])
        for side in SIDES:
            smaller = fn.interpolate(pictures, size=side, mode="bilinear", antialias=True)
            parts[side].append(encoded(vae, smaller).half())
    for side in SIDES:
        torch.save(torch.cat(parts[side]), work.path(f"latents-{side}.pt"))
    work.log("latents", scenes=len(scenes), things=len(things))


@torch.no_grad()
def encoded(vae: AutoencoderKLFlux2, pictures: Tensor) -> Tensor:
    """(n, 3, side, side) in [-1, 1] -> normalised tokens (n, side/16 * side/16, 4 * channels)."""
    latents: Tensor = fn.pixel_unshuffle(vae.encode(pictures).latent_dist.mode(), 2)
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    deviation = (vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).sqrt()
    normal: Tensor = (latents - mean) / deviation
    return normal.flatten(2).transpose(1, 2)
