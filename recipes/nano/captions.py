"""Prompts as people write them, for a scene.

What is plain is seldom said; what is unusual (another background, small, tilted) nearly always, so that a
short prompt gives the plain picture. Unknown words are mixed in now and then: trigger words of finetunes
must be harmless.
"""

from __future__ import annotations

import random

from recipes.nano.scenes import Scene
from recipes.nano.things import all_things

DROPOUT = 0.1
"""Share of empty captions: the pipeline's guidance compares with the prompt ''."""

STYLE_WORDS: dict[str, tuple[str, ...]] = {
    "3d": ("3d", "3d", "3d", "glossy"),
    "flat": ("flat", "flat", "flat", "minimal"),
    "cartoon": ("cartoon", "cartoon", "cartoon", "emoji"),
    "outline": ("outline", "outline", "line art"),
    "silhouette": ("silhouette", "silhouette", "shadow"),
    "pixel art": ("pixel art", "pixel"),
    "inverted": ("inverted", "negative"),
    "pastel": ("pastel",),
    "gray": ("gray", "black and white", "grayscale"),
    "duotone": ("duotone",),
}
_KNOWN_WORDS = {word for thing in all_things() for word in thing.words}
_PREFIXES = ("", "", "an icon of ", "a picture of ", "a drawing of ")


def caption(scene: Scene, rng: random.Random) -> str:
    """One prompt for the scene; empty with probability `DROPOUT`."""
    if rng.random() < DROPOUT:
        return ""
    words = scene.thing.words
    noun = words[0] if len(words) == 1 or rng.random() < 0.7 else rng.choice(words[1:])
    chance = rng.random()
    if chance < 0.03:
        noun = unknown_word(rng)
    elif chance < 0.1:
        noun = f"{unknown_word(rng)} {noun}" if rng.random() < 0.6 else f"{noun}, {unknown_word(rng)}"
    return _with_background(_with_style(_with_placement(noun, scene, rng), scene, rng), scene, rng)


def reference_caption(scene: Scene, rng: random.Random) -> str:
    """A prompt that names all but the thing, which a reference picture shows."""
    if rng.random() < DROPOUT:
        return ""
    style = rng.choice(STYLE_WORDS[scene.style])
    what = rng.choice(("the same", "the same", "the same thing", "this"))
    form = rng.choice(("{} in {} style", "{} in {} style", "{}, {}", "{} as {}"))
    return _with_background(form.format(_with_placement(what, scene, rng), style), scene, rng)


def usual_caption(thing: str, style: str) -> str:
    """The caption that evaluation and the card use."""
    return with_article(f"{style} icon of {with_article(thing)}")


def with_article(noun: str) -> str:
    """'a cat', 'an apple'; words that end in s stay bare."""
    if noun.split(",")[0].endswith("s") and not noun.split(",")[0].endswith(("ss", "us")):
        return noun
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def unknown_word(rng: random.Random) -> str:
    """A made-up word, as trigger words are, and no known thing's."""
    letters = "".join(
        rng.choice("bcdfghjklmnpqrstvwxz") + rng.choice(("", "a", "e", "i", "o", "u")) for _ in range(3)
    )
    word = rng.choice((letters[:3], letters, "tok", "sks"))
    return "tok" if word in _KNOWN_WORDS else word


def _with_placement(noun: str, scene: Scene, rng: random.Random) -> str:
    marks = []
    if scene.scale < 0.62 and rng.random() < 0.8:
        marks.append("small")
    if abs(scene.turn) > 10 and rng.random() < 0.8:
        marks.append("tilted")
    return " ".join([*marks, noun])


def _with_style(noun: str, scene: Scene, rng: random.Random) -> str:
    """Say the style: nearly always, but leave the first trained style out often, so it is the unsaid one."""
    said = 0.55 if scene.style == "3d" else 0.95
    prefix = rng.choice(_PREFIXES)
    if rng.random() >= said:
        return prefix + (with_article(noun) if rng.random() < 0.6 or prefix else noun)
    style = rng.choice(STYLE_WORDS[scene.style])
    shape = rng.randrange(5)
    if shape == 0:
        return with_article(f"{style} {noun}") if rng.random() < 0.5 else f"{style} {noun}"
    if shape == 1:
        return f"{with_article(noun)}, {style} style"
    if shape == 2:
        return f"{noun} in {style} style"
    if shape == 3:
        return with_article(f"{style} icon of {with_article(noun)}")
    return f"{prefix}{with_article(noun)}, {style}"


def _with_background(text: str, scene: Scene, rng: random.Random) -> str:
    if rng.random() >= (0.12 if scene.background == "white" else 0.93):
        return text
    name = scene.background
    form = rng.choice((" on a {} background", " on {}", ", {} background", " on a {} background"))
    text += form.format(name)
    return text.replace("a orange", "an orange")
