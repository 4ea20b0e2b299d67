"""`python -m recipes.nano [stage ...] --work DIR --fraction F`: carry out the recipe, or some of its stages.

A stage that is done is skipped, one that was stopped goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch

from recipes.nano import assemble, card, evaluate, icons, latents, tokenizer, transformer, vae
from recipes.nano.workplace import Workplace

STAGES: dict[str, Callable[[Workplace], object]] = {
    "icons": icons.render,
    "tokenizer": tokenizer.make_tokenizer,
    "vae": vae.train_vae,
    "latents": latents.encode_scenes,
    "controls": latents.encode_controls,
    "transformer": transformer.train_transformer,
    "assemble": assemble.assemble,
    "evaluate": lambda work: evaluate.evaluate(work, assemble.shipped(work)),
    "card": lambda work: card.illustrate(work, assemble.shipped(work)),
}


def main() -> None:
    """Parse the command line and run the stages in order."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(prog="python -m recipes.nano", description=__doc__)
    parser.add_argument(
        "stages", nargs="*", metavar="stage", help=f"any of {', '.join(STAGES)}; default: all"
    )
    parser.add_argument("--work", type=Path, default=here / "work", help="where intermediate files go")
    parser.add_argument(
        "--fraction", type=float, default=1.0, help="share of the things, pictures and minutes"
    )
    parser.add_argument(
        "--compile", action="store_true", help="compile the transformer (needs a C++ compiler)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="cores to use")
    given = parser.parse_args()
    unknown = [name for name in given.stages if name not in STAGES]
    if unknown:
        parser.error(f"no such stage: {', '.join(unknown)}")
    torch.set_num_threads(given.threads)
    work = Workplace(given.work, given.fraction, given.compile, given.threads)
    for name in given.stages or STAGES:
        STAGES[name](work)


if __name__ == "__main__":
    main()
