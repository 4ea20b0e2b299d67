"""Canny and depth with the shipped model, and drawing with a finetune of it: the pictures are looked at."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.api.client import BflClient
from tests.api.pictures import base64_of, box, disc, pixels, stripes
from tests.broken import good_zip

SIDE = 128
PROMPTS = ("an apple",)
KINDS = ("canny", "depth")
BRIEFLY = {"output_format": "png", "steps": 15}


def triangle() -> Image.Image:
    """One that fills most of the picture."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(picture).polygon([(64, 12), (116, 112), (12, 112)], fill=(30, 120, 110))
    return picture


def bar() -> Image.Image:
    """One that lies across the middle."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(picture).rectangle((10, 44, 118, 84), fill=(30, 120, 110))
    return picture


SHAPES = {"triangle": triangle(), "bar": bar()}


def outline(picture: Image.Image) -> np.ndarray:
    """Where colours change, smeared by a few pixels, and of length 1."""
    gray = np.asarray(picture.convert("L").resize((SIDE, SIDE)), dtype=np.float32)
    slopes = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    smeared = cv2.GaussianBlur(np.minimum(slopes, 150), (0, 0), 3)
    return np.asarray(smeared / np.linalg.norm(smeared)).ravel()


def body(picture: Image.Image) -> np.ndarray:
    """Where the picture is not of its border's colour."""
    values = pixels(picture.resize((SIDE, SIDE)))
    border = np.median(np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]]), axis=0)
    return np.asarray(np.abs(values - border).max(axis=2) > 24)


def likeness(kind: str, drawn: Image.Image, shape: Image.Image) -> float:
    """0 to 1: of the outlines for canny, of what the bodies cover for depth."""
    if kind == "canny":
        return float(outline(drawn) @ outline(shape))
    one, other = body(drawn), body(shape)
    return float((one & other).sum() / (one | other).sum())


def followed(nano: BflClient, endpoint: str, kind: str, **more: Any) -> dict[str, list[float]]:
    """How like each shape the pictures are that follow it, and the ones that follow the other."""
    found: dict[str, list[float]] = {"own": [], "other": []}
    for seed, prompt in enumerate(PROMPTS):
        asked = {"prompt": prompt, "seed": seed, **BRIEFLY, **more}
        drawn = {
            name: nano.draw(endpoint, **asked, control_image=base64_of(shape))
            for name, shape in SHAPES.items()
        }
        found["own"] += [likeness(kind, drawn[name], SHAPES[name]) for name in SHAPES]
        found["other"] += [likeness(kind, drawn[name], SHAPES[other]) for name, other in _crossed()]
    print(endpoint, found)
    return found


def _crossed() -> list[tuple[str, str]]:
    return [("triangle", "bar"), ("bar", "triangle")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_is_followed(nano: BflClient, kind: str) -> None:
    found = followed(nano, f"flux-pro-1.0-{kind}", kind)
    assert np.mean(found["own"]) > np.mean(found["other"]) + 0.2
    assert all(own > other for own, other in zip(found["own"], found["other"], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_that_is_ready_is_taken_as_it_is(nano: BflClient, kind: str) -> None:
    inside = "white" if kind == "depth" else None
    drawn = {}
    for name, shape in {"disc": (30, 30, 98, 98), "bar": (10, 44, 118, 84)}.items():
        ready = Image.new("RGB", (SIDE, SIDE), "black")
        ImageDraw.Draw(ready).ellipse(shape, outline="white", fill=inside)
        asked = {"prompt": "an apple", "seed": 3, **BRIEFLY}
        drawn[name] = nano.draw(f"flux-pro-1.0-{kind}", **asked, preprocessed_image=base64_of(ready))
    plain = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(plain).ellipse((30, 30, 98, 98), fill=(30, 120, 110))
    found = {name: likeness(kind, picture, plain) for name, picture in drawn.items()}
    print(kind, found)
    assert found["disc"] > found["bar"] + 0.05


@pytest.fixture(scope="module")
def nano_finetune_id(nano: BflClient) -> str:
    """A finetune of the shipped model."""
    task = nano.finetune(good_zip(), "follows", mode="general", iterations=100, finetune_type="lora")
    return str(nano.result(task["polling_url"])["finetune_id"])


@pytest.mark.parametrize(
    ("endpoint", "fields"),
    [
        ("flux-pro-finetuned", {"width": 256, "height": 256}),
        ("flux-pro-finetuned", {"width": 256, "height": 256, "image_prompt": base64_of(disc())}),
        ("flux-pro-1.1-ultra-finetuned", {"aspect_ratio": "1:1"}),
        (
            "flux-pro-1.0-fill-finetuned",
            {"image": base64_of(stripes()), "mask": base64_of(box()), "steps": 15},
        ),
        ("flux-pro-1.0-canny-finetuned", {"control_image": base64_of(triangle()), "steps": 15}),
        ("flux-pro-1.0-depth-finetuned", {"control_image": base64_of(triangle()), "steps": 15}),
        ("flux-2-klein-4b-finetuned", {"width": 256, "height": 256}),
        ("flux-2-klein-4b-finetuned", {"input_image": base64_of(disc())}),
    ],
)
def test_a_finetune_counts_by_its_strength(
    nano: BflClient, nano_finetune_id: str, endpoint: str, fields: dict[str, Any]
) -> None:
    asked = {"prompt": "TOK", "seed": 4, "output_format": "png", "finetune_id": nano_finetune_id, **fields}
    without = pixels(nano.draw(endpoint, **asked, finetune_strength=0.0))
    with_it = pixels(nano.draw(endpoint, **asked, finetune_strength=1.0))
    assert np.abs(with_it - without).max() > 16
    if "fill" in endpoint:
        kept = np.asarray(box()) == 0
        assert np.array_equal(with_it[kept], pixels(stripes())[kept])


@pytest.mark.parametrize("kind", KINDS)
def test_a_finetune_follows_a_control_as_well(nano: BflClient, nano_finetune_id: str, kind: str) -> None:
    found = followed(nano, f"flux-pro-1.0-{kind}-finetuned", kind, finetune_id=nano_finetune_id)
    assert np.mean(found["own"]) > np.mean(found["other"]) + 0.2
