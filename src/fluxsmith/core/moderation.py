"""Whether a prompt may be drawn: a protocol with one small implementation, and others by plug-in.

The word list is what it says: words, whole and in English, each with the highest tolerance at which it is
still refused. It understands nothing and looks at no picture; whoever serves strangers should plug in a
real classifier. A plug-in is an entry point of the group `fluxsmith.safety`: a callable without arguments
that returns a `SafetyChecker`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Protocol

from fluxsmith.errors import ConfigError

PLUGINS = "fluxsmith.safety"
ALWAYS, EXPLICIT, HARSH = 6, 4, 1  # the highest tolerance at which a word is refused
WORDS: Mapping[str, int] = {
    "child porn": ALWAYS,
    "child pornography": ALWAYS,
    "csam": ALWAYS,
    "porn": EXPLICIT,
    "pornographic": EXPLICIT,
    "hardcore sex": EXPLICIT,
    "beheading": EXPLICIT,
    "dismembered": EXPLICIT,
    "gore": EXPLICIT,
    "nude": HARSH,
    "naked": HARSH,
    "corpse": HARSH,
    "bloody": HARSH,
}


class SafetyChecker(Protocol):
    """Says why a prompt may not be drawn."""

    def objection(self, prompt: str, tolerance: int) -> str | None:
        """A sentence for the person who asked, or None if there is nothing against it.

        Args:
            prompt: what would be drawn.
            tolerance: 0 for the strictest, 6 for the most permissive.
        """


class WordList:
    """Refuses prompts with a word of a list."""

    def __init__(self, words: Mapping[str, int] = WORDS) -> None:
        choices = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in words)
        self._words = dict(words)
        self._pattern = re.compile(rf"(?<!\w)(?:{choices})(?!\w)", re.IGNORECASE)

    def objection(self, prompt: str, tolerance: int) -> str | None:
        """Name the first word that is refused at this tolerance."""
        for found in self._pattern.finditer(prompt):
            word = " ".join(found[0].lower().split())
            if tolerance <= self._words[word]:
                return f"The word list of this server refuses '{word}' at safety tolerance {tolerance}."
        return None


class Nothing:
    """Refuses nothing."""

    def objection(self, prompt: str, tolerance: int) -> None:
        """None, always."""


def checker_named(name: str) -> SafetyChecker:
    """The checker of a name: `words`, `none`, or a plug-in's.

    Raises:
        ConfigError: there is none of that name.
    """
    if name == "words":
        return WordList()
    if name == "none":
        return Nothing()
    found = next(iter(entry_points(group=PLUGINS, name=name)), None)
    if found is None:
        raise ConfigError(
            "safety-checker-unknown",
            f"There is no safety checker named '{name}'.",
            hint=f"Use words or none, or install a package with an entry point '{name}' of {PLUGINS}.",
        )
    checker: SafetyChecker = found.load()()
    return checker
