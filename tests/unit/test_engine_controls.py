"""Edges and relief, which canny and depth requests follow."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fluxsmith.engine.controls import edges, relief


@pytest.fixture
def disc() -> Image.Image:
    """A gray disc of radius 40 on white, 128 x 128."""
    picture = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(picture).ellipse((24, 24, 104, 104), fill=(150, 150, 150))
    return picture


def test_edges_are_lines_along_the_outline_only(disc: Image.Image) -> None:
    found = np.asarray(edges(disc)) > 0
    rows, columns = np.nonzero(found[..., 0])
    assert len(rows) > 150
    assert np.abs(np.hypot(rows - 64, columns - 64) - 40).max() < 3


def test_higher_thresholds_find_less(disc: Image.Image) -> None:
    assert np.asarray(edges(disc, 450, 500)).sum() < np.asarray(edges(disc, 50, 200)).sum()


def test_relief_rises_from_the_outline_to_the_middle(disc: Image.Image) -> None:
    height = np.asarray(relief(disc))[..., 0].astype(int)
    assert height[64, 64] == 255
    assert height[5, 5] == 0
    line = height[64, 64:104]
    assert (np.diff(line) <= 0).all()
    assert line[20] > 128, "round as a ball, not a cone"


@pytest.mark.parametrize("colour", ["white", "black", "red"])
def test_an_empty_picture_has_neither(colour: str) -> None:
    empty = Image.new("RGB", (64, 48), colour)
    assert not np.asarray(edges(empty)).any()
    assert not np.asarray(relief(empty)).any()
    assert relief(empty).size == (64, 48)
