"""Print honest numbers about a folder of nano weights, with rows that must fail.

The made picture's nearest neighbours are looked for among the reference pictures of all known things in the
asked style. Noise, a constant picture and the pictures of shuffled prompts go through the same measure.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from diffusers import Flux2KleinPipeline
from PIL import Image
from torch import Tensor

from recipes.nano.captions import usual_caption
from recipes.nano.icons import TRAINED_SETS, IconSet, load_icons
from recipes.nano.measure import ranks
from recipes.nano.model import CALL, NATIVE_SIDE
from recipes.nano.scenes import Scene, draw
from recipes.nano.styles import MADE_STYLES
from recipes.nano.things import Thing, known_things
from recipes.nano.vae import held_out_psnr
from recipes.nano.workplace import Workplace

PROMPTS = 300


def load_pipeline(folder: Path) -> Flux2KleinPipeline:
    """The pipeline in float32, quiet."""
    pipeline = Flux2KleinPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def make_pictures(pipeline: Flux2KleinPipeline, prompts: list[str], seed: int = 0, **call: Any) -> Tensor:
    """Pictures of prompts with the defaults of `CALL`, (n, 3, 128, 128) in [-1, 1]; a seed for each."""
    made = []
    for start in range(0, len(prompts), 20):
        part = prompts[start : start + 20]
        made.append(
            pipeline(
                prompt=part,
                height=NATIVE_SIDE,
                width=NATIVE_SIDE,
                num_inference_steps=call.get("steps", CALL["default_steps"]),
                guidance_scale=call.get("guidance", CALL["default_guidance"]),
                max_sequence_length=CALL["max_sequence_length"],
                text_encoder_out_layers=tuple(CALL["text_encoder_out_layers"]),
                generator=[torch.Generator().manual_seed(seed + start + i) for i in range(len(part))],
                output_type="pt",
            ).images
        )
    return torch.cat(made) * 2 - 1


def evaluate(work: Workplace, folder: Path, prompts: int = PROMPTS, **call: Any) -> dict[str, float]:
    """All numbers of a weights folder, printed and returned."""
    icons = load_icons(work)
    pipeline = load_pipeline(folder)
    things = known_things(work.fraction)
    numbers = {
        "vae held-out PSNR dB": float(held_out_psnr(pipeline.vae, icons).mean()),
        "things": len(things),
    }
    rng = random.Random(3)
    styles = list(TRAINED_SETS)
    asked = [(rng.randrange(len(things)), rng.choice(styles)) for _ in range(prompts)]
    made = make_pictures(pipeline, [usual_caption(things[i].words[0], style) for i, style in asked], **call)
    noise = torch.randn(made.shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    shuffled = made[torch.randperm(len(made), generator=torch.Generator().manual_seed(0))]
    rows = {"nano": made, "noise": noise, "constant": torch.zeros_like(made), "shuffled": shuffled}
    for name, pictures in rows.items():
        right = _thing_ranks(pictures, asked, things, icons)
        numbers[f"{name}: right thing top-1 %"] = _percent(right < 1)
        numbers[f"{name}: right thing top-5 %"] = _percent(right < 5)
    numbers["right style among three %"] = _percent(_style_ranks(made, asked, things, icons) < 1)
    numbers["made styles: right thing top-5 %"] = _made_styles(pipeline, things, icons, rng, **call)
    for name, value in numbers.items():
        print(f"{name:40} {value:.1f}")
    return numbers


def references(things: list[Thing], style: str, icons: IconSet) -> Tensor:
    """Every thing's plain picture in a style; made styles are made from the first set."""
    source = list(TRAINED_SETS).index(style) if style in TRAINED_SETS else 0
    return draw([Scene(thing, source, style) for thing in things], icons, NATIVE_SIDE)


def contact_sheet(pictures: Tensor, columns: int, target: Path) -> None:
    """Write (n, 3, h, w) in [-1, 1] as one picture; n must be a multiple of the columns."""
    count, _, height, width = pictures.shape
    grid = pictures.view(count // columns, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    pixels = ((grid.reshape(-1, columns * width, 3).clamp(-1, 1) + 1) * 127.5).round().byte()
    Image.fromarray(pixels.numpy()).save(target, optimize=True)


def sheet_of_prompts(folder: Path, target: Path, prompts: list[str], columns: int = 10, **call: Any) -> None:
    """A contact sheet of prompts, row by row."""
    contact_sheet(make_pictures(load_pipeline(folder), prompts, **call), columns, target)
    target.with_suffix(".json").write_text(json.dumps(prompts, indent=1))


def _thing_ranks(made: Tensor, asked: list[tuple[int, str]], things: list[Thing], icons: IconSet) -> Tensor:
    result = torch.zeros(len(made), dtype=torch.long)
    for style in TRAINED_SETS:
        rows = [row for row, (_, of_row) in enumerate(asked) if of_row == style]
        right = torch.tensor([asked[row][0] for row in rows])
        result[rows] = ranks(made[rows], references(things, style, icons), right)
    return result


def _style_ranks(made: Tensor, asked: list[tuple[int, str]], things: list[Thing], icons: IconSet) -> Tensor:
    """Rank of the asked style among the same thing's pictures in the three trained styles."""
    styles = list(TRAINED_SETS)
    result = []
    for picture, (thing, style) in zip(made, asked, strict=True):
        candidates = draw(
            [Scene(things[thing], i, name) for i, name in enumerate(styles)], icons, NATIVE_SIDE
        )
        result.append(ranks(picture.unsqueeze(0), candidates, torch.tensor([styles.index(style)])))
    return torch.cat(result)


def _made_styles(
    pipeline: Flux2KleinPipeline, things: list[Thing], icons: IconSet, rng: random.Random, **call: Any
) -> float:
    """Top-5 of the right thing over the made styles, ten things each; any trained set's icon may be right."""
    hits = []
    for style in MADE_STYLES:
        chosen = rng.sample(range(len(things)), min(10, len(things)))
        made = make_pictures(pipeline, [usual_caption(things[i].words[0], style) for i in chosen], **call)
        best = torch.full((len(chosen),), len(things))
        for source in range(len(TRAINED_SETS)):
            known = draw([Scene(thing, source, style) for thing in things], icons, NATIVE_SIDE)
            best = torch.minimum(best, ranks(made, known, torch.tensor(chosen)))
        hits.append(best < 5)
    return _percent(torch.cat(hits))


def _percent(hits: Tensor) -> float:
    return round(100 * hits.float().mean().item(), 1)
