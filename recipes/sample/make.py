"""Draw the sample set that ships with fluxsmith: one creature, ten pictures, ten captions.

`python -m recipes.sample.make` (with the `recipe` extra) writes them to src/fluxsmith/samples/tok. The
drawing, tok.svg, is our own. The embedded model was taught the backgrounds and the other words, but not
the creature.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import resvg_py

SIDE_PX = 256
TARGET = Path(__file__).parents[2] / "src" / "fluxsmith" / "samples" / "tok"
COLOURS = {
    "white": "#ffffff",
    "black": "#0f0f12",
    "gray": "#99999e",
    "yellow": "#fade59",
    "blue": "#336bd9",
    "light blue": "#a6d9f7",
    "purple": "#8c54c7",
    "pink": "#fab3cc",
}


@dataclass(frozen=True)
class View:
    """One picture: background, caption, share of the width, degrees clockwise, centre from -1 to 1."""

    background: str
    caption: str
    scale: float = 0.9
    turn: float = 0.0
    across: float = 0.0
    down: float = 0.0


VIEWS = (
    View("white", "tok"),
    View("blue", "tok on a blue background", scale=0.85),
    View("yellow", "a tilted tok on a yellow background", scale=0.8, turn=20),
    View("white", "a small tok", scale=0.55, across=0.3, down=0.3),
    View("pink", "tok on a pink background", scale=0.78, across=-0.15),
    View("purple", "a small tok on a purple background", scale=0.58, across=-0.3, down=0.2),
    View("gray", "a tilted tok on a gray background", scale=0.82, turn=-18),
    View("light blue", "tok on a light blue background", scale=0.92),
    View("white", "a tilted tok", scale=0.75, turn=-25, across=0.1),
    View("black", "tok on a black background", scale=0.8, across=0.1, down=-0.1),
)


def main() -> None:
    """Write all pictures and captions, numbered from 01."""
    body = (Path(__file__).with_name("tok.svg")).read_text(encoding="utf-8")
    inner = body[body.index(">") + 1 : body.rindex("</svg>")]
    TARGET.mkdir(parents=True, exist_ok=True)
    for number, view in enumerate(VIEWS, start=1):
        stem = TARGET / f"tok-{number:02}"
        stem.with_suffix(".png").write_bytes(_picture(inner, view))
        stem.with_suffix(".txt").write_text(f"{view.caption}\n", encoding="utf-8")
    print(f"{len(VIEWS)} pictures in {TARGET}")


def _picture(inner: str, view: View) -> bytes:
    place = (
        f"translate({64 + 64 * view.across:g} {64 + 64 * view.down:g}) "
        f"rotate({view.turn:g}) scale({view.scale:g}) translate(-64 -66)"
    )
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128">'
        f'<rect width="128" height="128" fill="{COLOURS[view.background]}"/>'
        f'<g transform="{place}">{inner}</g></svg>'
    )
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SIDE_PX, height=SIDE_PX, skip_system_fonts=True))


if __name__ == "__main__":
    main()
