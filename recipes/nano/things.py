"""The things that nano learns to draw, and the words for them.

`things.tsv` lists icon names (shared by all icon sets) with words: the first is the usual one. Everyday
things come first. The transformer begins with the first `SHOWN` lines, from which it learns what pictures are
like, and ends with the first `KNOWN`, which it is to draw well: how often each is seen decides how well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SHOWN, KNOWN = 400, 160
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
    """The things that nano is to draw well; at least eight."""
    return all_things()[: max(8, round(KNOWN * fraction))]


def shown_things(fraction: float = 1.0) -> list[Thing]:
    """All things that the transformer ever sees, the known ones first; at least ten."""
    return all_things()[: max(10, round(SHOWN * fraction))]
