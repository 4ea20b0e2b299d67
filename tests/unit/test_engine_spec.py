"""Specifications of training runs, and the small functions that a run is a function of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fluxsmith.engine.sizes import native_size
from fluxsmith.engine.spec import SpecPicture, TrainSpec
from fluxsmith.errors import EngineError

SPEC = TrainSpec(
    model_folder="/models/nano",
    pictures=(SpecPicture("/pictures/0.png", "a TOK apple"),),
    trigger_word="TOK",
    steps=100,
    lora_rank=16,
    lora_alpha=16.0,
    learning_rate=1e-4,
    batch_size=4,
    resolution=128,
    sample_prompts=("a TOK apple",),
    metadata={"dataset_hash": "abc"},
)


def test_a_specification_survives_its_file() -> None:
    assert TrainSpec.from_json(SPEC.to_json()) == SPEC


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("steps", 0, "steps is 0"),
        ("learning_rate", "fast", "learning_rate is 'fast'"),
        ("schedule", "wavy", "constant, cosine, linear"),
        ("resolution", 100, "multiple of 16"),
        ("pictures", [], "no pictures"),
        ("batch_size", True, "batch_size is True"),
        ("colour", "red", "colour"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, words: str) -> None:
    values = {**json.loads(SPEC.to_json()), field: value}
    with pytest.raises(EngineError, match=words) as caught:
        TrainSpec.from_json(json.dumps(values))
    assert caught.value.code == "spec-invalid"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pictures": 1}'])
def test_a_file_that_is_no_specification_is_refused(text: str) -> None:
    with pytest.raises(EngineError) as caught:
        TrainSpec.from_json(text)
    assert caught.value.code == "spec-invalid"


def test_a_missing_specification_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be opened"):
        TrainSpec.read(tmp_path / "spec.json")


def test_a_fingerprint_changes_with_what_is_learned_and_not_with_where() -> None:
    elsewhere = dataclasses.replace(SPEC, model_folder="/other", memory_limit_bytes=1, checkpoint_every=1)
    assert elsewhere.fingerprint() == SPEC.fingerprint()
    assert dataclasses.replace(SPEC, seed=1).fingerprint() != SPEC.fingerprint()
    other_words = dataclasses.replace(SPEC, pictures=(SpecPicture("/pictures/0.png", "a pear"),))
    assert other_words.fingerprint() != SPEC.fingerprint()


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ((128, 128), (128, 128)),
        ((1024, 1024), (128, 128)),
        ((64, 64), (128, 128)),
        ((1024, 768), (144, 112)),
        ((768, 1024), (112, 144)),
        ((2048, 64), (720, 16)),
    ],
)
def test_a_size_is_drawn_at_the_native_area_of_its_aspect(
    asked: tuple[int, int], drawn: tuple[int, int]
) -> None:
    assert native_size(*asked, 128) == drawn
