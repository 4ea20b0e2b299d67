"""Drawings that follow pictures, on a tiny random model: what must hold whatever was learned."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fluxsmith.engine.conditions import ControlUse, FillUse, drawn_tokens, shown_references
from fluxsmith.engine.sampler import DrawRequest, Sampler
from fluxsmith.errors import EngineError
from tests.tiny import NATIVE_SIDE, tiny_models

REQUEST = DrawRequest("a red apple", NATIVE_SIDE, NATIVE_SIDE, seed=5)


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler("cpu")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of large shapes in many colours."""
    shades = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(shades).resize((160, 120), Image.Resampling.NEAREST).save(path)
    return path


@pytest.fixture(scope="module")
def mask(photo: Path) -> Path:
    """White in the right half."""
    path = photo.with_name("mask.png")
    picture = Image.new("L", (160, 120), 0)
    picture.paste(255, (80, 0, 160, 120))
    picture.save(path)
    return path


def draw(sampler: Sampler, **more: object) -> np.ndarray:
    request = dataclasses.replace(REQUEST, **more)  # type: ignore[arg-type]
    [drawn] = sampler.draw(tiny_models() / "tiny", request, lambda *_: None, lambda _: None)
    return np.asarray(Image.open(io.BytesIO(drawn.png)))


def test_a_fill_changes_everything_inside_the_mask_and_nothing_outside(
    sampler: Sampler, photo: Path, mask: Path
) -> None:
    original = np.asarray(Image.open(photo))
    filled = draw(sampler, width=160, height=120, fill=FillUse(photo, mask))
    assert filled.shape == original.shape
    assert np.array_equal(filled[:, :80], original[:, :80])
    assert (filled[:, 80:] != original[:, 80:]).any(axis=2).mean() > 0.9
    again = draw(sampler, width=160, height=120, fill=FillUse(photo, mask))
    other = draw(sampler, width=160, height=120, fill=FillUse(photo, mask), seed=6)
    assert np.array_equal(filled, again)
    assert not np.array_equal(filled, other)


def test_a_fill_is_drawn_to_fit_what_is_kept(sampler: Sampler, photo: Path, mask: Path) -> None:
    """The masked half depends on the other half, so it was drawn seeing it."""
    darker = photo.with_name("darker.png")
    changed = np.asarray(Image.open(photo)).copy()
    changed[:, :80] //= 3
    Image.fromarray(changed).save(darker)
    one, other = (
        draw(sampler, width=160, height=120, fill=FillUse(path, mask))[:, 80:] for path in (photo, darker)
    )
    assert not np.array_equal(one, other)


def test_a_mask_of_another_size_is_scaled(sampler: Sampler, photo: Path, mask: Path) -> None:
    small = photo.with_name("small-mask.png")
    Image.open(mask).resize((80, 60)).save(small)
    original = np.asarray(Image.open(photo))
    filled = draw(sampler, width=160, height=120, fill=FillUse(photo, small))
    assert np.array_equal(filled[:, :74], original[:, :74])
    assert not np.array_equal(filled[:, 86:], original[:, 86:])


def test_references_are_seen_in_their_order_and_by_their_strength(sampler: Sampler, photo: Path) -> None:
    plain = photo.with_name("plain.png")
    Image.new("RGB", (64, 64), "teal").save(plain)
    alone = draw(sampler)
    shown = draw(sampler, references=(photo,))
    assert not np.array_equal(shown, alone)
    assert np.array_equal(shown, draw(sampler, references=(photo,)))
    assert not np.array_equal(
        draw(sampler, references=(photo, plain)), draw(sampler, references=(plain, photo))
    )
    assert np.array_equal(draw(sampler, image_prompts=(photo,), image_prompt_strength=0.0), alone)
    faint = draw(sampler, image_prompts=(photo,), image_prompt_strength=0.5)
    assert not np.array_equal(faint, shown)
    assert np.array_equal(draw(sampler, image_prompts=(photo,)), shown)


def test_a_control_is_its_edges_or_relief_unless_it_is_ready(sampler: Sampler, photo: Path) -> None:
    canny = draw(sampler, control=ControlUse("canny", photo))
    assert not np.array_equal(canny, draw(sampler, control=ControlUse("depth", photo)))
    assert not np.array_equal(canny, draw(sampler, control=ControlUse("canny", photo, 400, 500)))
    [edges] = shown_references((), (), 1.0, ControlUse("canny", photo), None)
    ready = photo.with_name("edges.png")
    edges.save(ready)
    assert np.array_equal(canny, draw(sampler, control=ControlUse("canny", ready, ready=True)))


def test_references_are_shown_at_the_models_own_size(photo: Path) -> None:
    def size(path: Path, side: int | None) -> tuple[int, int]:
        [shown] = shown_references((path,), (), 1.0, None, side)
        return shown.size

    assert size(photo, 64) == (80, 64)
    assert size(photo, None) == (160, 120)
    tall = photo.with_name("tall.png")
    Image.new("RGB", (20, 400), "teal").save(tall)
    assert size(tall, None) == (64, 256)
    assert size(tall, 128) == (128, 512)


def test_a_token_is_drawn_anew_if_any_of_its_pixels_is() -> None:
    mask = Image.new("L", (64, 32), 0)
    mask.putpixel((17, 3), 255)
    assert drawn_tokens(mask, 2, 4).view(2, 4).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]
    assert torch.equal(drawn_tokens(Image.new("L", (64, 32), 90), 2, 4), torch.zeros(8, 1))


def test_a_picture_that_cannot_be_read_is_named(sampler: Sampler, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(EngineError, match=r"The picture broken\.png cannot be read"):
        draw(sampler, references=(broken,))
