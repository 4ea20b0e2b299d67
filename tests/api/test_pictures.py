"""Drawings that follow pictures, with the shipped model, looked at: each test fails without what it tests."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.api.client import BflClient
from tests.api.pictures import base64_of, box, disc, pixels, stripes

ASKED = {"prompt": "a red apple", "seed": 5, "output_format": "png"}


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return stripes()


@pytest.fixture(scope="module")
def mask() -> Image.Image:
    return box()


@pytest.mark.parametrize("endpoint", ["flux-pro-1.0-fill", "flux-fill"])
def test_a_fill_changes_only_what_is_inside_the_mask(
    nano: BflClient, photo: Image.Image, mask: Image.Image, endpoint: str
) -> None:
    filled = pixels(nano.draw(endpoint, **ASKED, image=base64_of(photo), mask=base64_of(mask)))
    changed = np.abs(filled - pixels(photo)).max(axis=2)
    inside = np.asarray(mask) > 0
    assert changed[~inside].max() == 0
    assert (changed[inside] > 8).mean() > 0.8


def test_transparency_is_a_mask_and_a_mask_wins(
    nano: BflClient, photo: Image.Image, mask: Image.Image
) -> None:
    seen_through = photo.copy()
    seen_through.putalpha(mask.point(lambda value: 255 - value))
    by_alpha = nano.draw("flux-pro-1.0-fill", **ASKED, image=base64_of(seen_through))
    changed = np.abs(pixels(by_alpha) - pixels(photo)).max(axis=2)
    assert changed[np.asarray(mask) == 0].max() == 0
    everything = Image.new("L", photo.size, 255)
    whole = nano.draw("flux-fill", **ASKED, image=base64_of(seen_through), mask=base64_of(everything))
    assert (np.abs(pixels(whole) - pixels(photo)).max(axis=2) > 8).mean() > 0.8


def test_an_expanded_picture_keeps_its_middle(nano: BflClient, photo: Image.Image) -> None:
    sides = {"top": 16, "bottom": 48, "left": 64, "right": 0}
    drawn = nano.draw("flux-pro-1.0-expand", **ASKED, image=base64_of(photo), **sides)
    assert drawn.size == (256 + 64, 192 + 16 + 48)
    got = pixels(drawn)
    assert np.array_equal(got[16:208, 64:320], pixels(photo))
    above, left = got[:16, 64:], got[16:208, :64]
    assert np.abs(above - pixels(photo)[:1]).max(axis=2).mean() > 8, "not the edge drawn out"
    assert left.std() > 4


def colour_distance(one: Image.Image, other: Image.Image) -> float:
    """Between the pictures shrunk to 8 × 8, in levels."""
    return float(np.abs(pixels(one.resize((8, 8))) - pixels(other.resize((8, 8)))).mean())


@pytest.mark.parametrize(
    ("endpoint", "field", "more"),
    [
        ("flux-dev", "image_prompt", {"width": 256, "height": 256}),
        ("flux-pro-1.1-ultra", "image_prompt", {"image_prompt_strength": 1.0, "aspect_ratio": "1:1"}),
        ("flux-2-klein-4b", "input_image", {}),
        ("flux-kontext-pro", "input_image", {}),
    ],
)
def test_a_shown_picture_draws_the_result_towards_itself(
    nano: BflClient, endpoint: str, field: str, more: dict[str, Any]
) -> None:
    shown = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(shown).ellipse((30, 30, 226, 226), fill=(60, 170, 70))
    asked = {"prompt": "the same in flat style", "output_format": "png", **more}
    gains = []
    for seed in range(4):
        alone = nano.draw(endpoint, **asked, seed=seed)
        with_it = nano.draw(endpoint, **asked, seed=seed, **{field: base64_of(shown)})
        gains.append(colour_distance(alone, shown) - colour_distance(with_it, shown))
    print(endpoint, gains)
    assert np.mean(gains) > 5


def test_an_image_prompts_strength_fades_it(nano: BflClient, photo: Image.Image) -> None:
    asked = {**ASKED, "image_prompt": base64_of(photo), "aspect_ratio": "1:1"}
    drawn = {
        strength: nano.draw("flux-pro-1.1-ultra", **asked, image_prompt_strength=strength).tobytes()
        for strength in (0.0, 0.5, 1.0)
    }
    alone = nano.draw("flux-pro-1.1-ultra", **ASKED, aspect_ratio="1:1").tobytes()
    assert drawn[0.0] == alone
    assert len(set(drawn.values())) == 3


def test_an_edit_is_as_large_as_its_picture_unless_a_size_is_asked_for(
    nano: BflClient, photo: Image.Image
) -> None:
    given = base64_of(photo, "WEBP")
    assert nano.draw("flux-2-klein-4b", **ASKED, input_image=given).size == photo.size
    assert nano.draw("flux-2-klein-4b", **ASKED, input_image=given, width=128, height=64).size == (128, 64)
    assert nano.draw("flux-kontext-max", **ASKED, input_image=given, aspect_ratio="1:1").size == (1024, 1024)


def test_several_references_are_seen_in_their_order(nano: BflClient, photo: Image.Image) -> None:
    one, other = base64_of(photo), base64_of(disc())
    size = {"width": 128, "height": 128}
    forth = nano.draw("flux-2-pro", **ASKED, **size, input_image=one, input_image_2=other)
    back = nano.draw("flux-2-pro", **ASKED, **size, input_image=other, input_image_2=one)
    assert forth.tobytes() != back.tobytes()
    assert nano.draw("flux-2-pro", **ASKED, **size, input_image_8=one).size == (128, 128)


def test_what_was_followed_is_kept_and_seen_by_its_owner(nano: BflClient, photo: Image.Image) -> None:
    body = {
        "model": "nano",
        "prompt": "a pear",
        "pictures": [{"role": "edit", "data": base64_of(photo)}],
        "size_from_picture": True,
    }
    made = nano.http.post("/api/generations", json=body).json()
    assert [(one["role"], one["preprocessed"]) for one in made["pictures"]] == [("edit", False)]
    assert (made["width"], made["height"]) == photo.size
    answer = nano.http.get(f"/api/generations/{made['id']}/followed/0")
    assert np.array_equal(pixels(Image.open(io.BytesIO(answer.content))), pixels(photo))
    assert nano.http.get(f"/api/generations/{made['id']}/followed/1").status_code == 404
    assert base64_of(photo)[:200] not in json.dumps(made), "pictures are files, not part of answers"


@pytest.mark.parametrize(
    ("endpoint", "fields", "says"),
    [
        ("flux-fill", {"image": "%%%"}, "The picture 1 (fill) is neither base64 nor an address."),
        ("flux-fill", {"image": "aGVsbG8gd29ybGQ="}, "is not a picture that can be read"),
        ("flux-fill", {"image": ""}, "image must hold a picture."),
        ("flux-2-klein-4b", {"input_image": "http://127.0.0.1:1/cat.png"}, "inside the server's own network"),
        ("flux-2-klein-4b", {"input_image": "https://localhost/cat.png"}, "inside the server's own network"),
        ("flux-pro-1.0-canny-finetuned", {"finetune_id": "nano", "control_image": ""}, "no finetune 'nano'"),
    ],
)
def test_pictures_that_cannot_be_used_are_refused_in_words(
    nano: BflClient, endpoint: str, fields: dict[str, str], says: str
) -> None:
    answer = nano.http.post(f"/v1/{endpoint}", json={"prompt": "x", **fields})
    assert answer.status_code in (403, 404, 422), answer.text
    assert says in answer.json()["message"]


def test_a_fill_without_a_mask_and_one_that_grows_too_large_are_refused(
    nano: BflClient, photo: Image.Image
) -> None:
    refused = nano.refuse("flux-fill", 422, prompt="x", image=base64_of(photo))
    assert "which part of the picture" in refused["message"]
    margins = {"top": 2048, "bottom": 2048}
    refused = nano.refuse("flux-pro-1.0-expand", 422, prompt="x", image=base64_of(photo), **margins)
    assert "cannot be drawn" in refused["message"]


@pytest.mark.parametrize(
    ("pictures", "says"),
    [
        ([{"role": "mask", "data": "AA=="}], "need a picture to fill"),
        ([{"role": "fill", "data": "AA=="}] * 2, "Only one picture can be a fill"),
        (
            [{"role": "canny", "data": "AA=="}, {"role": "depth", "data": "AA=="}],
            "Only one picture can be a control",
        ),
        ([{"role": "edit", "data": "AA==", "preprocessed": True}], "can be ready already"),
        ([{"role": "edit", "data": "AA=="}] * 11, "at most 10"),
    ],
)
def test_pictures_that_do_not_fit_together_are_refused(
    nano: BflClient, pictures: list[dict[str, Any]], says: str
) -> None:
    answer = nano.http.post("/api/generations", json={"model": "nano", "prompt": "x", "pictures": pictures})
    assert answer.status_code == 422
    assert says in answer.json()["message"]
