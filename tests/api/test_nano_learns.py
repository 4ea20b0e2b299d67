"""With the shipped model: a finetune over HTTP teaches it the sample set, and a measure can tell."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

import fluxsmith
from fluxsmith.samples import SAMPLE_TRIGGER_WORD, sample_files
from tests.api.client import BflClient
from tests.api.nearness import mean_distance
from tests.broken import zip_of

SEEDS = range(4)
ITERATIONS = 120
NEARER = 0.75  # of the distance without the LoRA
NANO = Path(fluxsmith.__file__).parent / "models" / "nano"

pytestmark = pytest.mark.skipif(
    not (NANO / "model_index.json").exists(), reason="the shipped weights are not in this checkout"
)


@pytest.fixture(scope="module")
def training_set() -> list[Image.Image]:
    """The sample set's pictures."""
    return [Image.open(io.BytesIO(data)) for name, data in sample_files() if name.endswith(".png")]


def test_pictures_with_the_lora_are_nearer_to_the_training_set_than_without_it(
    nano: BflClient, training_set: list[Image.Image]
) -> None:
    task = nano.finetune(
        zip_of(dict(sample_files())),
        "sample",
        mode="character",
        trigger_word=SAMPLE_TRIGGER_WORD,
        iterations=ITERATIONS,
        finetune_type="lora",
        lora_rank=16,
    )
    last = nano.follow(task["polling_url"], patience_s=900)[-1]
    assert last["status"] == "Ready", last

    def draw(endpoint: str, **more: object) -> list[Image.Image]:
        asked = {"prompt": SAMPLE_TRIGGER_WORD, "width": 256, "height": 256, "output_format": "png"}
        return [nano.draw(endpoint, seed=seed, **asked, **more) for seed in SEEDS]

    with_it = mean_distance(draw("flux-pro-finetuned", finetune_id=task["id"]), training_set)
    switched_off = draw("flux-pro-finetuned", finetune_id=task["id"], finetune_strength=0)
    without = mean_distance(switched_off, training_set)
    base = mean_distance(draw("flux-dev", steps=40, guidance=2.5), training_set)
    print(f"distance to the training set: {with_it:.3f} with the LoRA, {without:.3f} without")
    assert base == without, "strength 0 is the base model itself"
    assert with_it < NEARER * without, f"{with_it:.3f} with the LoRA, {without:.3f} without"
    assert nano.submit("delete_finetune", finetune_id=task["id"])["deleted_finetune_id"] == task["id"]


def test_the_measure_tells_a_stub_from_a_model_that_learned(training_set: list[Image.Image]) -> None:
    """What servers without a trained LoRA could return is not nearer: blank, one colour, noise."""
    learned = mean_distance([picture.rotate(4, fillcolor="white") for picture in training_set], training_set)
    stubs = {
        "blank": Image.new("RGB", (256, 256), "white"),
        "teal": Image.new("RGB", (256, 256), (0, 160, 150)),
        "noise": Image.effect_noise((256, 256), 90).convert("RGB"),
    }
    for name, stub in stubs.items():
        assert learned < NEARER * mean_distance([stub], training_set), name
