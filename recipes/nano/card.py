"""The pictures and numbers of the model card, made anew from a folder of weights.

`sheet.png`: sixty prompts. `finetunes.png`: what five finetunes were shown, and the same seeds before and
after. The table of `evaluate` goes between two marks of the card; all other words in it are written by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.report import OUT, Row
from recipes.nano.captions import usual_caption
from recipes.nano.evaluate import STYLE_SHOWN, Bench, open_bench
from recipes.nano.pictures import contact_sheet, make_pictures
from recipes.nano.things import Thing
from recipes.nano.trials import THING_PROMPT, TrainingSet, finetuned, new_style, new_thing, style_prompt
from recipes.nano.workplace import Workplace

COLUMNS = 10
SHEET_STYLES = ("3d", "flat", "cartoon", "pixel art", "outline")
BACKGROUNDS = ("a blue", "a pink", "a yellow", "a green", "a black")
NEW_THINGS = 4
BEGIN, END = "<!-- numbers -->", "<!-- end of numbers -->"


def illustrate(work: Workplace, folder: Path) -> None:
    """Draw both sheets and write the numbers into the card, if there is one."""
    bench = open_bench(work, folder)
    contact_sheet(make_pictures(bench.pipeline, sheet_prompts(bench.things)), COLUMNS, folder / "sheet.png")
    rows = [_thing_row(bench, thing) for thing in bench.strangers[: work.count(NEW_THINGS)]]
    contact_sheet(torch.cat([*rows, _style_row(bench)]), COLUMNS, folder / "finetunes.png")
    if (folder / "README.md").exists():
        write_numbers(folder / "README.md", OUT / "nano.json")


def sheet_prompts(things: list[Thing]) -> list[str]:
    """Ten things in each of `SHEET_STYLES`, five bare names, five names with backgrounds."""
    words = [thing.words[0] for thing in things]
    spread = words[:: max(1, len(words) // 50)]
    prompts = [
        usual_caption(spread[(COLUMNS * row + column) % len(spread)], style)
        for row, style in enumerate(SHEET_STYLES)
        for column in range(COLUMNS)
    ]
    named = [f"{word} on {place} background" for word, place in zip(words[5:], BACKGROUNDS, strict=False)]
    fill = COLUMNS - len(named)
    return [*prompts, *(words[number % len(words)] for number in range(fill)), *named]


def write_numbers(card: Path, measurements: Path) -> None:
    """Put the measured table between the card's marks."""
    values = json.loads(measurements.read_text())
    rows = [Row(**row) for row in values["rows"]]
    lines = ["| what | measured | target | holds |", "|---|---|---|---|"]
    lines += [f"| {row.claim} | {row.ours:.4g} {row.unit} | {row.target} | {_verdict(row)} |" for row in rows]
    lines.append(f"\nMeasured in {values['took_s'] / 60:.0f} minutes on {values['machine']}.")
    before, rest = card.read_text().split(BEGIN)
    _, after = rest.split(END)
    card.write_text("".join((before, BEGIN, "\n\n", "\n".join(lines), "\n\n", END, after)))


def _verdict(row: Row) -> str:
    if row.target == "-":
        return ""
    return "yes" if row.holds else "**no**"


def _thing_row(bench: Bench, thing: Thing) -> Tensor:
    return _row(bench, new_thing(bench.held_out, thing), [THING_PROMPT] * 3)


def _style_row(bench: Bench) -> Tensor:
    things = [thing for thing in bench.things if thing.icon in bench.held_out.names]
    shown, others = things[::2][:STYLE_SHOWN], things[1::2][:3]
    prompts = [style_prompt(others[number % len(others)]) for number in range(3)]
    return _row(bench, new_style(bench.held_out, shown), prompts)


def _row(bench: Bench, shown: TrainingSet, prompts: list[str]) -> Tensor:
    """Four pictures of the set, three drawn before and the same three after; (10, 3, 128, 128)."""
    before = make_pictures(bench.pipeline, prompts, seed=100)
    with finetuned(bench.pipeline, bench.weights, shown, bench.steps):
        after = make_pictures(bench.pipeline, prompts, seed=100)
    return torch.cat([shown.pictures[:4], before, after])
