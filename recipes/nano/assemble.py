"""Put the finished weights where fluxsmith ships them: pipeline folder, hashes, run log, contact sheet.

The card (`README.md`) beside them is written by hand and kept.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from recipes.nano.captions import usual_caption
from recipes.nano.evaluate import sheet_of_prompts
from recipes.nano.things import known_things
from recipes.nano.workplace import Workplace

LIMIT_BYTES = 40_000_000
PARTS = ("model_index.json", "fluxsmith.json", "scheduler", "text_encoder", "tokenizer", "transformer", "vae")
SHIPPED = Path(__file__).parents[2] / "src" / "fluxsmith" / "models" / "nano"
SHEET_STYLES = ("3d", "flat", "cartoon", "pixel art", "outline")


def assemble(work: Workplace, target: Path | None = None) -> None:
    """Copy the weights, draw the contact sheet and write `SHA256SUMS`.

    A partial run stays in the work folder, so that it never replaces what is shipped.
    """
    target = target or (SHIPPED if work.fraction >= 1 else work.path("shipped"))
    target.mkdir(parents=True, exist_ok=True)
    source = work.path("nano")
    for part in PARTS:
        _copy(source / part, target / part)
    sheet_of_prompts(source, target / "sheet.png", sheet_prompts(work))
    (target / "sheet.json").unlink()
    shutil.copy(work.path("run.jsonl"), target / "run.jsonl")
    write_hashes(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    if size > LIMIT_BYTES:
        raise ValueError(f"{target} holds {size} bytes, more than {LIMIT_BYTES}")
    work.log("assemble", bytes=size)


def sheet_prompts(work: Workplace) -> list[str]:
    """Ten things in each of `SHEET_STYLES`, and ten as people write them."""
    words = [thing.words[0] for thing in known_things(work.fraction)]
    spread = words[:: max(1, len(words) // 50)]
    prompts = [
        usual_caption(spread[(10 * row + column) % len(spread)], style)
        for row, style in enumerate(SHEET_STYLES)
        for column in range(10)
    ]
    backgrounds = ("a blue", "a pink", "a yellow", "a green", "a black")
    return [
        *prompts,
        *words[:5],
        *(f"{w} on {b} background" for w, b in zip(words[5:10], backgrounds, strict=False)),
    ]


def write_hashes(folder: Path) -> None:
    """`SHA256SUMS` over the files that make the model, as `sha256sum -c` reads it."""
    lines = []
    for part in PARTS:
        root = folder / part
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            lines.append(
                f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}"
            )
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
