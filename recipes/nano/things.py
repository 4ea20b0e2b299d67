"""The things that nano learns to draw, and the words for them.

`things.tsv` lists icon names (shared by all icon sets) with words: the first is the usual one. Everyday
things come first; the recipe takes the first `KNOWN` lines. Later lines are drawn by the same sets but
never shown to the transformer, so they serve as new things when finetuning is tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KNOWN = 400
_LIST = Path(__file__).with_name("things.tsv")


@dataclass(frozen=True)
class Thing:
    """An icon's name in the sets and the words that people use for it."""

    icon: str
    words: tuple[str, ...]


def all_things() -> list[Thing]:
    """Every listed thing, everyday ones first."""
    rows = (line.split("\t") for line in _LIST.read_text().splitlines())
    return [Thing(icon, tuple(words.split(", "))) for icon, words in rows]


def known_things(fraction: float = 1.0) -> list[Thing]:
    """The things that the transformer is trained on; at least eight."""
    return all_things()[: max(8, round(KNOWN * fraction))]
