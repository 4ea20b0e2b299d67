"""Finetunes of nano by fluxsmith's own engine, on the icon set that nothing was trained on.

A new thing is one icon, rendered ten times in other sizes, turns, places and on other backgrounds. A new
style is twenty pictures of known things in that set's style.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import Flux2KleinPipeline
from torch import Tensor

from fluxsmith.engine.spec import SpecPicture, TrainSpec
from fluxsmith.engine.trainer import train
from recipes.nano.icons import IconSet
from recipes.nano.measure import features, ranks_of
from recipes.nano.model import CALL, NATIVE_SIDE
from recipes.nano.pixels import picture_of
from recipes.nano.placing import canonical, premultiplied
from recipes.nano.scenes import Scene, draw
from recipes.nano.things import Thing

STEPS, RANK, BATCH = 120, 16, 4
RENDERINGS = 10
TRIGGER = "tok"
THING_PROMPT = f"a {TRIGGER} icon"
_VIEWS = [(scale, turn) for scale in (0.7, 0.875) for turn in (-12.0, 0.0, 12.0)]
"""How references of new things are placed: each icon may be recognised in any of these."""


class Silence:
    """A listener of the trainer that wants to know nothing."""

    def progress(self, *_: object, **__: object) -> None:
        """Ignore it."""

    def sample(self, *_: object) -> None:
        """Ignore it."""

    def message(self, text: str) -> None:
        """Ignore it."""

    def stopping(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class TrainingSet:
    """Pictures, (n, 3, 128, 128) in [-1, 1], and a caption for each."""

    pictures: Tensor
    captions: list[str]

    def write(self, folder: Path) -> list[Path]:
        """Write what `fluxsmith finetune` takes: PNGs, each with a caption of the same name."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{number:02}.png" for number in range(len(self.captions))]
        for path, picture, caption in zip(paths, self.pictures, self.captions, strict=True):
            picture_of(picture).save(path)
            path.with_suffix(".txt").write_text(caption)
        return paths


@contextmanager
def finetuned(
    pipeline: Flux2KleinPipeline, weights: Path, shown: TrainingSet, steps: int = STEPS
) -> Iterator[None]:
    """Train a LoRA on a set and draw with it as long as the block lasts.

    Args:
        pipeline: draws with `weights`.
        weights: the base model's folder.
        shown: what is learned.
        steps: for how long.
    """
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary)
        paths = shown.write(run / "pictures")
        spec = TrainSpec(
            model_folder=str(weights),
            pictures=tuple(SpecPicture(str(p), c) for p, c in zip(paths, shown.captions, strict=True)),
            trigger_word=TRIGGER,
            steps=steps,
            lora_rank=RANK,
            lora_alpha=float(RANK),
            learning_rate=CALL["default_learning_rate"],
            batch_size=BATCH,
            resolution=NATIVE_SIDE,
            checkpoint_every=steps,
            device="cpu",
        )
        pipeline.load_lora_weights(str(train(spec, run, Silence()).lora_path))
    try:
        yield
    finally:
        pipeline.unload_lora_weights()


def new_thing(held_out: IconSet, thing: Thing) -> TrainingSet:
    """Ten renderings of one icon."""
    rng = random.Random(5)
    scenes = [_varied(thing, rng) for _ in range(RENDERINGS)]
    return TrainingSet(draw(scenes, held_out, NATIVE_SIDE), [_named(scene) for scene in scenes])


def new_style(held_out: IconSet, things: list[Thing]) -> TrainingSet:
    """Known things in the held-out set's style."""
    return TrainingSet(plain_pictures(held_out, things), [style_prompt(thing) for thing in things])


def style_prompt(thing: Thing) -> str:
    """A prompt for a thing in the style that was learned."""
    return f"{thing.words[0]} in {TRIGGER} style"


def plain_pictures(icons: IconSet, things: list[Thing]) -> Tensor:
    """Things of the set's first package, upright, centred, on white."""
    rgba = [torch.tensor(icons.pictures[icons.index(thing.icon), 0]) for thing in things]
    return canonical(premultiplied(torch.stack(rgba)), NATIVE_SIDE)


class Lineup:
    """Icons among which a new thing must be recognised, each in several placements."""

    def __init__(self, held_out: IconSet, things: list[Thing]) -> None:
        scenes = [Scene(thing, 0, "held-out", scale, turn) for scale, turn in _VIEWS for thing in things]
        self._features = features(draw(scenes, held_out, NATIVE_SIDE)).view(len(_VIEWS), len(things), -1)

    def rank(self, made: Tensor, right: int) -> int:
        """How many icons the pictures are nearer to, on average, than to the right one."""
        each = torch.einsum("nf,vmf->vnm", features(made), self._features).amax(dim=0)
        return int(ranks_of(each.mean(dim=0, keepdim=True), torch.tensor([right])).item())


def _varied(thing: Thing, rng: random.Random) -> Scene:
    scale = rng.uniform(0.6, 0.95)
    room = 1 - scale
    shift = (rng.uniform(-room, room), rng.uniform(-room, room))
    background = rng.choice(("white", "white", "light blue", "yellow", "pink"))
    return Scene(thing, 0, "held-out", scale, rng.uniform(-20, 20), shift, background)


def _named(scene: Scene) -> str:
    return THING_PROMPT + ("" if scene.background == "white" else f" on a {scene.background} background")
