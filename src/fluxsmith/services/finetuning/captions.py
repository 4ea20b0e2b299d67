"""The words that a picture is trained with.

A picture's own caption is kept and given the trigger word if it lacks it. A picture without one
gets the shortest phrase that fits the mode: what the phrase leaves unsaid, the trigger word learns.
"""

from __future__ import annotations

import re

from fluxsmith.providers.base import Mode

PHRASES: dict[Mode, str] = {
    "general": "{trigger}",
    "character": "{trigger}",
    "product": "{trigger}",
    "style": "{trigger} style",
}


def training_caption(own: str | None, trigger_word: str, mode: Mode, captioning: bool) -> str:
    """The caption to train one picture with.

    Args:
        own: the caption that came with the picture, or None.
        trigger_word: the word to be learned.
        mode: what the set shows.
        captioning: whether to write captions where there are none; else the bare trigger word.
    """
    if own and own.strip():
        own = " ".join(own.split())
        return own if _mentions(own, trigger_word) else f"{trigger_word}, {own}"
    return PHRASES[mode].format(trigger=trigger_word) if captioning else trigger_word


def _mentions(caption: str, trigger_word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(trigger_word)}(?!\w)", caption, re.IGNORECASE) is not None
