"""Measure a folder of nano weights and write `benchmarks/out/nano.json`, with rows that must fail.

Every number comes from fixed seeds. Noise, a constant picture and the pictures of shuffled prompts go through
the same measures as nano's own, so that the measures are seen to be able to fail.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import Flux2KleinPipeline
from torch import Tensor

from benchmarks.report import OUT, Row, measured, publish
from fluxsmith.config.env import EnvManager
from fluxsmith.engine.sampler import DrawRequest, Sampler
from recipes.nano.captions import usual_caption
from recipes.nano.icons import TRAINED_SETS, IconSet, load_icons
from recipes.nano.measure import StyleJudge, ranks
from recipes.nano.model import NATIVE_SIDE
from recipes.nano.pictures import from_reference, load_pipeline, make_pictures
from recipes.nano.scenes import Scene, draw
from recipes.nano.things import Thing, known_things, shown_things
from recipes.nano.trials import (
    RANK,
    STEPS,
    THING_PROMPT,
    TRIGGER,
    Lineup,
    TrainingSet,
    finetuned,
    new_style,
    new_thing,
    plain_pictures,
    style_prompt,
)
from recipes.nano.vae import held_out_psnr, round_trip
from recipes.nano.workplace import Workplace, stable_hash

PROMPTS = 600
FINETUNES = 20
LINEUP = 200
STYLE_SHOWN, STYLE_ASKED = 20, 50
STYLE_FITTED, STYLE_JUDGED = 160, 80
"""Things that nano does not know: how many the judge of styles is fitted to, and on how many it is tried."""
PRIOR_PROMPTS = 5
"""After each finetune of a new thing: prompts without its trigger word."""
REFERENCES = 60
STYLES = list(TRAINED_SETS)


@dataclass(frozen=True)
class Bench:
    """What all measurements share.

    Args:
        weights: folder of the base model.
        pipeline: draws with it.
        things: what nano knows.
        strangers: icons of the held-out set that nano never saw in any style.
    """

    work: Workplace
    weights: Path
    pipeline: Flux2KleinPipeline
    icons: IconSet
    held_out: IconSet
    things: list[Thing]
    strangers: list[Thing]

    @property
    def steps(self) -> int:
        """Of every finetune; few in a partial run."""
        return self.work.count(STEPS, 10)

    def references(self, style: str) -> Tensor:
        """Every known thing's plain picture in a trained style."""
        return draw(
            [Scene(thing, STYLES.index(style), style) for thing in self.things], self.icons, NATIVE_SIDE
        )


def open_bench(work: Workplace, weights: Path) -> Bench:
    """Load icons and weights."""
    icons, held_out = load_icons(work), load_icons(work, held_out=True)
    things = known_things(work.fraction)
    shown = {thing.icon for thing in shown_things(work.fraction)}
    strangers = [Thing(name, (name,)) for name in held_out.names if name not in shown]
    strangers.sort(key=lambda thing: stable_hash(thing.icon))
    return Bench(work, weights, load_pipeline(weights), icons, held_out, things, strangers)


def evaluate(work: Workplace, weights: Path) -> list[Row]:
    """Measure, print and write."""
    started = time.monotonic()
    bench = open_bench(work, weights)
    torch.set_num_threads(work.processes)
    examples = style_examples(bench)
    shipped = sum(path.stat().st_size for path in weights.rglob("*") if path.is_file())
    rows = [
        measured("size of everything shipped", shipped / 1e6, "MB", at_most=40),
        measured("round trip of held-out icons", _psnr(bench), "dB", at_least=28),
        measured("things it knows, in three styles", len(bench.things), "things", at_least=400),
        *_knowledge(bench, examples),
        *_new_things(bench),
        *_new_styles(bench, examples),
        *_times(bench),
        _image_prompts(bench),
    ]
    took_s = time.monotonic() - started
    folder = OUT if work.fraction >= 1 else work.root
    publish("nano", rows, ("torch", "diffusers", "transformers", "peft"), folder, took_s=round(took_s))
    work.log("evaluate", took_s=round(took_s), **{row.claim: round(row.ours, 2) for row in rows})
    return rows


def _psnr(bench: Bench) -> float:
    return float(held_out_psnr(bench.pipeline.vae, bench.icons).mean())


def ask(things: list[Thing], count: int, seed: int) -> list[tuple[int, str]]:
    """Pairs of a thing's index and a style, so that every thing comes before any comes again."""
    rng = random.Random(seed)
    asked: list[tuple[int, str]] = []
    while len(asked) < count:
        order = rng.sample(range(len(things)), len(things))
        asked += [(thing, rng.choice(STYLES)) for thing in order]
    return asked[:count]


def _knowledge(bench: Bench, examples: list[StyleExamples]) -> list[Row]:
    """Right things and right styles, and what the same measures say of pictures that know nothing."""
    asked = ask(bench.things, bench.work.count(PROMPTS, 20), seed=3)
    made = draw_asked(bench, asked)
    generator = torch.Generator().manual_seed(0)
    chance = {
        "noise": torch.randn(made.shape, generator=generator).clamp(-1, 1),
        "a constant picture": torch.zeros_like(made),
        "pictures of shuffled prompts": made[torch.randperm(len(made), generator=generator)],
    }
    judge, real = style_judge(examples[: len(STYLES)])
    wanted = torch.tensor([STYLES.index(style) for _, style in asked])
    found = thing_ranks(bench, made, asked)
    rows = [
        measured("right thing, top-1", _percent(found < 1), "%", at_least=60),
        measured("right thing, top-5", _percent(found < 5), "%", at_least=85),
        measured("right style", _percent(judge.judge(made) == wanted), "%", at_least=95),
        measured("right style, real pictures of other things", real, "%"),
    ]
    for name, pictures in chance.items():
        found = thing_ranks(bench, pictures, asked)
        rows.append(measured(f"{name}: right thing, top-5", _percent(found < 5), "%", at_most=10))
    return rows


def draw_asked(bench: Bench, asked: list[tuple[int, str]]) -> Tensor:
    """Pictures of what `ask` asked for."""
    prompts = [usual_caption(bench.things[thing].words[0], style) for thing, style in asked]
    return make_pictures(bench.pipeline, prompts)


def thing_ranks(bench: Bench, made: Tensor, asked: list[tuple[int, str]]) -> Tensor:
    """(n,) place of the right thing among all known ones in the asked style; 0 is best."""
    result = torch.zeros(len(made), dtype=torch.long)
    for style in STYLES:
        rows = [row for row, (_, of_row) in enumerate(asked) if of_row == style]
        if rows:
            right = torch.tensor([asked[row][0] for row in rows])
            result[rows] = ranks(made[rows], bench.references(style), right)
    return result


@dataclass(frozen=True)
class StyleExamples:
    """Real pictures of one style: what a judge is fitted to, and further ones to try it on."""

    fitted: Tensor
    rest: Tensor


def style_examples(bench: Bench) -> list[StyleExamples]:
    """Examples of the trained styles and, last, of the held-out set, all of the same things.

    They pass through the autoencoder, so that its softness, which all of nano's pictures share, is not taken
    for a style.
    """
    known = [thing for thing in bench.things if thing.icon in bench.held_out.names]
    others = bench.strangers[-STYLE_FITTED - STYLE_JUDGED :]
    things = [*known, *others]

    def drawn(source: int, style: str) -> Tensor:
        return draw([Scene(thing, source, style) for thing in things], bench.icons, NATIVE_SIDE)

    sets = [drawn(*numbered) for numbered in enumerate(STYLES)] + [plain_pictures(bench.held_out, things)]
    seen = [round_trip(bench.pipeline.vae, pictures) for pictures in sets]
    return [StyleExamples(pictures[:-STYLE_JUDGED], pictures[-STYLE_JUDGED:]) for pictures in seen]


def style_judge(examples: list[StyleExamples]) -> tuple[StyleJudge, float]:
    """A judge of styles, and its hits in % on pictures that it was not fitted to."""
    judge = StyleJudge([style.fitted for style in examples])
    right = [judge.judge(style.rest) == number for number, style in enumerate(examples)]
    return judge, _percent(torch.cat(right))


def _new_things(bench: Bench) -> list[Row]:
    """Finetunes of single icons: are they learned, and is what was known still there?"""
    count = bench.work.count(FINETUNES)
    new, others = bench.strangers[:count], bench.strangers[count : count + LINEUP]
    asked = ask(bench.things, PRIOR_PROMPTS * count, seed=8)
    before = thing_ranks(bench, draw_asked(bench, asked), asked)
    hits, after = [], []
    for number, thing in enumerate(new):
        with finetuned(bench.pipeline, bench.weights, new_thing(bench.held_out, thing), bench.steps):
            made = make_pictures(bench.pipeline, [THING_PROMPT] * 4, seed=100)
            part = asked[number * PRIOR_PROMPTS : (number + 1) * PRIOR_PROMPTS]
            prompts = [usual_caption(bench.things[i].words[0], style) for i, style in part]
            after.append(make_pictures(bench.pipeline, prompts, seed=number * PRIOR_PROMPTS))
        rank = Lineup(bench.held_out, [thing, *others]).rank(made, 0)
        hits.append(rank < 1)
        print(f"new thing {number + 1} of {count}, {thing.icon}: place {rank + 1}", flush=True)
    kept = thing_ranks(bench, torch.cat(after), asked)
    fall = _percent(before < 5) - _percent(kept < 5)
    return [
        measured(f"new things learned, of {count}", sum(hits), "things", at_least=0.85 * count),
        measured("fall of top-5 with such a LoRA loaded", fall, "points", at_most=10),
    ]


def _new_styles(bench: Bench, examples: list[StyleExamples]) -> list[Row]:
    """A finetune on the held-out set's style, asked for things that were not shown in it."""
    things = [thing for thing in bench.things if thing.icon in bench.held_out.names]
    random.Random(7).shuffle(things)
    cut = min(STYLE_SHOWN, len(things) // 2)
    shown, asked = things[:cut], things[cut:][: bench.work.count(STYLE_ASKED, 4)]
    judge, real = style_judge(examples)
    with finetuned(bench.pipeline, bench.weights, new_style(bench.held_out, shown), bench.steps):
        made = make_pictures(bench.pipeline, [style_prompt(thing) for thing in asked])
    place = {thing.icon: index for index, thing in enumerate(things)}
    right = torch.tensor([place[thing.icon] for thing in asked])
    found = ranks(made, plain_pictures(bench.held_out, things), right)
    return [
        measured("new style: in it", _percent(judge.judge(made) == len(STYLES)), "%", at_least=80),
        measured("new style, real pictures of other things", real, "%"),
        measured("new style: right thing, top-5", _percent(found < 5), "%", at_least=60),
    ]


def _times(bench: Bench) -> list[Row]:
    """A finetune as a person has it, from the command to its end, and a picture by the warm sampler."""
    shown = new_thing(bench.held_out, bench.strangers[0])
    sampler = Sampler("cpu")
    drawn_s = []
    for seed in range(6):
        started = time.monotonic()
        request = DrawRequest("a cat", NATIVE_SIDE, NATIVE_SIDE, seed)
        sampler.draw(bench.weights, request, lambda _step, _total: None, lambda _text: None)
        drawn_s.append(time.monotonic() - started)
    return [
        measured("finetune, from the command to Ready", _finetune_s(bench, shown), "s", at_most=90),
        measured("one picture, warm", statistics.median(drawn_s[1:]), "s", at_most=1.5),
    ]


def _finetune_s(bench: Bench, shown: TrainingSet) -> float:
    """Seconds of `fluxsmith finetune` on a fresh data folder, its worker's start included."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shown.write(folder / "pictures")
        places = {"DATA_DIR": folder / "data", "MODELS_DIR": bench.weights.resolve(), "MODEL": "nano"}
        variables = {f"FLUXSMITH_{name}": str(value) for name, value in places.items()}
        command = [sys.executable, "-m", "fluxsmith", "finetune", str(folder / "pictures"), "--json"]
        options = ["--trigger-word", TRIGGER, "--steps", str(bench.steps), "--rank", str(RANK)]
        started = time.monotonic()
        subprocess.run(
            [*command, *options],
            check=True,
            capture_output=True,
            cwd=folder,
            env=EnvManager().for_child(variables),
            timeout=1800,
        )
        return time.monotonic() - started


def _image_prompts(bench: Bench) -> Row:
    """The thing of a reference picture, which the prompt does not name, in another style."""
    asked = ask(bench.things, bench.work.count(REFERENCES, 4), seed=9)
    made = []
    for seed, (thing, style) in enumerate(asked):
        other = (STYLES.index(style) + 1) % len(STYLES)
        [shown] = draw([Scene(bench.things[thing], other, STYLES[other])], bench.icons, NATIVE_SIDE)
        made.append(from_reference(bench.pipeline, f"the same in {style} style", shown, seed))
    found = thing_ranks(bench, torch.cat(made), asked)
    return measured("image prompt: right thing, top-5", _percent(found < 5), "%", at_least=50)


def _percent(hits: Tensor) -> float:
    return round(100 * hits.float().mean().item(), 1)
