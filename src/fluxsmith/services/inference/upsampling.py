"""Prompt upsampling by a template: words that a prompt lacks are added behind it.

This is no language model. The same prompt always becomes the same longer one, whatever it says stays as it
is (trigger words included), and an aspect that it already speaks of is left alone.
"""

from __future__ import annotations

import re

_ASPECTS: tuple[tuple[str, str], ...] = (
    (r"light|lit\b|sun|shadow|dark|glow|neon", "soft directional light"),
    (r"compos|close-?up|portrait|view|shot|angle|centred|centered", "a clear composition"),
    (r"detail|textur|intricate|sharp|crisp", "crisp detail"),
    (r"background|backdrop|scene|landscape|room|street", "a background that suits the subject"),
)
"""What shows that a prompt speaks of an aspect, and the words for it if it does not."""


def upsample(prompt: str) -> str:
    """The prompt with words for the aspects that it does not mention; an empty one stays empty."""
    words = prompt.strip().rstrip(".,;")
    if not words:
        return prompt
    missing = [text for sign, text in _ASPECTS if re.search(sign, words, re.IGNORECASE) is None]
    return ", ".join([words, *missing])
