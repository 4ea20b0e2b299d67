"""One picture of several rows of pictures, each row with a line of text above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from fluxsmith.cli.files import in_words

WIDTH = 1080
GAP = 12
LINE = 34
LARGEST_CELL = 256
BACKGROUND, INK = "#ffffff", "#1b1b1f"


@dataclass(frozen=True)
class Row:
    """A line of text and the pictures under it."""

    title: str
    pictures: Sequence[Path]


def draw_sheet(rows: Sequence[Row], target: Path) -> None:
    """Write the rows, one under the other, as a PNG.

    Raises:
        StorageError: it cannot be written.
    """
    sheet = Image.new("RGB", (WIDTH, GAP + sum(_height(row) for row in rows)), BACKGROUND)
    top = GAP
    for row in rows:
        _draw_row(sheet, row, top)
        top += _height(row)
    with in_words(target):
        sheet.save(target, "PNG")


def _side(row: Row) -> int:
    return min(LARGEST_CELL, (WIDTH - GAP) // max(1, len(row.pictures)) - GAP)


def _height(row: Row) -> int:
    return LINE + _side(row) + GAP


def _draw_row(sheet: Image.Image, row: Row, top: int) -> None:
    ImageDraw.Draw(sheet).text((GAP, top + 4), row.title, fill=INK, font=ImageFont.load_default(20))
    side = _side(row)
    for index, path in enumerate(row.pictures):
        with Image.open(path) as picture:
            cell = ImageOps.pad(picture.convert("RGB"), (side, side), color=BACKGROUND)
        sheet.paste(cell, (GAP + index * (side + GAP), top + LINE))
