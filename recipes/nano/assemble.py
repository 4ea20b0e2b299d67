"""Put the finished weights where fluxsmith ships them: pipeline folder, hashes, run log."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from recipes.nano.workplace import Workplace

LIMIT_BYTES = 40_000_000
PARTS = ("model_index.json", "fluxsmith.json", "scheduler", "text_encoder", "tokenizer", "transformer", "vae")
SHIPPED = Path(__file__).parents[2] / "src" / "fluxsmith" / "models" / "nano"


def shipped(work: Workplace) -> Path:
    """Where a run's result goes; a partial run stays in its work folder and replaces nothing."""
    return SHIPPED if work.fraction >= 1 else work.path("shipped")


def assemble(work: Workplace) -> None:
    """Copy the weights and the run log, and write `SHA256SUMS`."""
    source, target = work.path("nano"), shipped(work)
    target.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        _copy(source / part, target / part)
    shutil.copy(work.path("run.jsonl"), target / "run.jsonl")
    write_hashes(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    if size > LIMIT_BYTES:
        raise ValueError(f"{target} holds {size} bytes, more than {LIMIT_BYTES}")
    work.log("assemble", bytes=size)


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
