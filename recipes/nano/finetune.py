"""Try what finetunes learn: a plain LoRA loop on the held-out icon set, measured and drawn.

Not fluxsmith's trainer, only its method (flow matching, peft, attention and mlp projections of all blocks),
kept short so that the recipe can judge its weights alone. The set `twemoji` was never trained on.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import cast

import torch
from diffusers import Flux2KleinPipeline
from peft import LoraConfig
from torch import Tensor
from torch.nn import functional as fn

from recipes.nano.evaluate import contact_sheet, load_pipeline, make_pictures
from recipes.nano.icons import IconSet, load_icons
from recipes.nano.latents import encoded
from recipes.nano.measure import ranks
from recipes.nano.model import CALL, NATIVE_SIDE, SHIFT
from recipes.nano.placing import canonical, premultiplied
from recipes.nano.scenes import Scene, draw
from recipes.nano.things import Thing, all_things, known_things
from recipes.nano.transformer import image_positions, text_positions
from recipes.nano.workplace import Workplace

TARGETS = r".*\.(to_q|to_k|to_v|to_out\.0|to_qkv_mlp_proj)|single_transformer_blocks\..*\.to_out"
"""A pattern for whole names: a double block's `to_out` is a list; only its first part is a matrix."""


@dataclass(frozen=True)
class Trial:
    """The parameters of one finetune."""

    steps: int = 200
    rate: float = 1e-3
    rank: int = 16
    batch: int = 4


def learn(pipeline: Flux2KleinPipeline, pictures: Tensor, captions: list[str], trial: Trial) -> float:
    """Train a fresh LoRA called 'trial' on pictures, (n, 3, 128, 128) in [-1, 1]; returns the seconds."""
    started = time.monotonic()
    model = pipeline.transformer
    model.requires_grad_(False)
    torch.manual_seed(0)
    model.add_adapter(
        LoraConfig(r=trial.rank, lora_alpha=trial.rank, init_lora_weights="gaussian", target_modules=TARGETS),
        "trial",
    )
    clean = encoded(pipeline.vae, pictures)
    text = _states(pipeline, captions)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=trial.rate, weight_decay=1e-4)
    rng = torch.Generator().manual_seed(0)
    for step in range(trial.steps):
        for group in optimizer.param_groups:
            group["lr"] = trial.rate * min(1.0, (step + 1) / 10, 2 * (1 - step / trial.steps))
        chosen = torch.randint(len(clean), (trial.batch,), generator=rng)
        normal = torch.sigmoid(torch.randn(trial.batch, generator=rng))
        sigma = SHIFT * normal / (1 + (SHIFT - 1) * normal)
        noise = torch.randn(clean[chosen].shape, generator=rng)
        made = model(
            hidden_states=torch.lerp(clean[chosen], noise, sigma.view(-1, 1, 1)),
            timestep=sigma,
            encoder_hidden_states=text[chosen],
            txt_ids=text_positions(),
            img_ids=image_positions(NATIVE_SIDE),
            return_dict=False,
        )[0]
        torch.autograd.backward(fn.mse_loss(made, noise - clean[chosen]))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.monotonic() - started


def try_finetunes(work: Workplace, things: int = 5, trial: Trial | None = None) -> dict[str, float]:
    """New things and the new style from the held-out set; prints numbers, writes `finetunes.png`."""
    trial = trial or Trial()
    held_out = load_icons(work, held_out=True)
    pipeline = load_pipeline(work.path("nano"))
    known = {thing.icon for thing in known_things()}
    new = [thing for thing in all_things() if thing.icon not in known and thing.icon in held_out.names]
    rows, hits = [], []
    for thing in random.Random(4).sample(new, things):
        row, hit = _new_thing(pipeline, held_out, thing, trial)
        rows.append(row)
        hits.append(hit)
    style_row, style_share = _new_style(pipeline, held_out, load_icons(work), trial)
    contact_sheet(torch.cat([*rows, *style_row]), 8, work.path("finetunes.png"))
    numbers = {
        "new things: nearest of 200 %": 100 * sum(hits) / len(hits),
        "new style: nearer to it than to the three %": style_share,
    }
    work.log("finetune", **{name: round(value, 1) for name, value in numbers.items()}, **vars(trial))
    return numbers


def _states(pipeline: Flux2KleinPipeline, captions: list[str]) -> Tensor:
    with torch.no_grad():
        states, _ = pipeline.encode_prompt(
            prompt=captions,
            max_sequence_length=CALL["max_sequence_length"],
            text_encoder_out_layers=tuple(CALL["text_encoder_out_layers"]),
        )
    return cast(Tensor, states)


def _new_thing(
    pipeline: Flux2KleinPipeline, held_out: IconSet, thing: Thing, trial: Trial
) -> tuple[Tensor, float]:
    """One finetune on ten renderings; the row is 3 of these, one picture without and four with the LoRA."""
    rng = random.Random(5)
    scenes = [_varied(thing, rng) for _ in range(10)]
    pictures = draw(scenes, held_out, NATIVE_SIDE)
    before = make_pictures(pipeline, ["a tok icon"])
    seconds = learn(pipeline, pictures, [_named(scene) for scene in scenes], trial)
    after = make_pictures(pipeline, ["a tok icon"] * 4, seed=100)
    pipeline.transformer.delete_adapters("trial")
    names = [thing.icon] + [n for n in random.Random(6).sample(held_out.names, 200) if n != thing.icon]
    references = canonical(_rgba(held_out, names), NATIVE_SIDE)
    found = ranks(after, references, torch.zeros(4, dtype=torch.long))
    print(f"new thing {thing.words[0]}: ranks {found.tolist()} of {len(names)}, {seconds:.0f} s", flush=True)
    return torch.cat([pictures[:3], before, after]), float((found.float().median() < 1).item())


def _varied(thing: Thing, rng: random.Random) -> Scene:
    scale = rng.uniform(0.6, 0.95)
    room = 1 - scale
    shift = (rng.uniform(-room, room), rng.uniform(-room, room))
    background = rng.choice(("white", "white", "light blue", "yellow", "pink"))
    return Scene(thing, 0, "held-out", scale, rng.uniform(-20, 20), shift, background)


def _named(scene: Scene) -> str:
    return "a tok icon" if scene.background == "white" else f"a tok icon on a {scene.background} background"


def _new_style(
    pipeline: Flux2KleinPipeline, held_out: IconSet, icons: IconSet, trial: Trial
) -> tuple[list[Tensor], float]:
    """One finetune on twenty known things in the held-out style; asks for others."""
    rng = random.Random(7)
    things = [thing for thing in known_things() if thing.icon in held_out.names]
    rng.shuffle(things)
    shown, asked = things[:20], things[20:52]
    pictures = canonical(_rgba(held_out, [thing.icon for thing in shown]), NATIVE_SIDE)
    prompts = [f"{thing.words[0]} in tok style" for thing in asked]
    before = make_pictures(pipeline, prompts[:8])
    learn(pipeline, pictures, [f"{thing.words[0]} in tok style" for thing in shown], trial)
    after = make_pictures(pipeline, prompts)
    pipeline.transformer.delete_adapters("trial")
    hits = []
    for picture, thing in zip(after, asked, strict=True):
        plain = draw([Scene(thing, source, "plain") for source in range(3)], icons, NATIVE_SIDE)
        candidates = torch.cat([canonical(_rgba(held_out, [thing.icon]), NATIVE_SIDE), plain])
        hits.append(bool(ranks(picture.unsqueeze(0), candidates, torch.tensor([0]))[0] < 1))
    return [pictures[:8], before, after[:8]], 100 * sum(hits) / len(hits)


def _rgba(icons: IconSet, names: list[str]) -> Tensor:
    """Icons of the first set by name, premultiplied."""
    return premultiplied(torch.stack([torch.tensor(icons.pictures[icons.index(name), 0]) for name in names]))
