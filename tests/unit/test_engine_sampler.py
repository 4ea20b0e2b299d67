"""The hot sampler: what a picture depends on, and what it does not."""

from __future__ import annotations

import dataclasses
import io
import threading
from pathlib import Path

import pytest
from PIL import Image

from fluxsmith.engine import adapters
from fluxsmith.engine.adapters import LoraUse
from fluxsmith.engine.sampler import Drawn, DrawRequest, Sampler
from fluxsmith.engine.trainer import train
from fluxsmith.errors import Cancelled, EngineError
from tests.engine_runs import Listener, make_spec
from tests.tiny import NATIVE_SIDE, build_tiny_model, tiny_models

REQUEST = DrawRequest("a red apple", NATIVE_SIDE, NATIVE_SIDE, seed=5)


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two LoRAs that learned different things."""
    folder = tmp_path_factory.mktemp("loras")
    specs = [make_spec(folder, steps=6, warmup_steps=0, seed=seed) for seed in (1, 2)]
    first, second = (
        train(spec, folder / str(number), Listener()).lora_path for number, spec in enumerate(specs)
    )
    return first, second


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler("cpu")


def draw(sampler: Sampler, request: DrawRequest) -> list[Drawn]:
    return sampler.draw(tiny_models() / "tiny", request, lambda *_: None, lambda _: None)


def test_a_seed_means_the_same_picture_whatever_the_batch(sampler: Sampler) -> None:
    batch = draw(sampler, dataclasses.replace(REQUEST, count=3))
    alone = [draw(sampler, dataclasses.replace(REQUEST, seed=seed))[0] for seed in (5, 6, 7)]
    assert batch == alone
    assert len({picture.png for picture in batch}) == 3


def test_a_picture_has_exactly_the_size_asked_for_and_tells_its_native_one(sampler: Sampler) -> None:
    drawn = draw(sampler, dataclasses.replace(REQUEST, width=301, height=200))[0]
    assert Image.open(io.BytesIO(drawn.png)).size == (301, 200)
    assert (drawn.native_width, drawn.native_height) == (80, 48)


def test_strength_zero_is_the_base_model_itself(sampler: Sampler, loras: tuple[Path, Path]) -> None:
    base = draw(sampler, REQUEST)
    strong = draw(sampler, dataclasses.replace(REQUEST, loras=(LoraUse("a", loras[0], 1.0),)))
    off = draw(sampler, dataclasses.replace(REQUEST, loras=(LoraUse("a", loras[0], 0.0),)))
    assert off == base
    assert strong != base
    assert draw(sampler, REQUEST) == base


def test_strength_changes_the_picture_and_loras_switch_without_a_trace(
    sampler: Sampler, loras: tuple[Path, Path]
) -> None:
    def with_loras(*uses: LoraUse) -> list[Drawn]:
        return draw(sampler, dataclasses.replace(REQUEST, loras=uses))

    first, second = LoraUse("a", loras[0], 1.0), LoraUse("b", loras[1], 1.0)
    alone = with_loras(first)
    assert with_loras(second) != alone
    assert with_loras(dataclasses.replace(first, strength=0.3)) != alone
    assert with_loras(first, second) != alone
    assert with_loras(first) == alone


def test_a_lora_that_was_dropped_is_loaded_again(
    monkeypatch: pytest.MonkeyPatch, loras: tuple[Path, Path]
) -> None:
    monkeypatch.setattr(adapters, "_KEPT_LORAS", 1)
    sampler = Sampler("cpu")
    uses = [LoraUse("a", loras[0], 1.0), LoraUse("b", loras[1], 1.0)]
    first, second = (draw(sampler, dataclasses.replace(REQUEST, loras=(use,))) for use in uses)
    again, after = (draw(sampler, dataclasses.replace(REQUEST, loras=(use,))) for use in uses)
    assert (again, after) == (first, second)


def test_a_file_that_changed_under_its_id_is_read_anew(loras: tuple[Path, Path], tmp_path: Path) -> None:
    sampler, path = Sampler("cpu"), tmp_path / "lora.safetensors"
    request = dataclasses.replace(REQUEST, loras=(LoraUse("a", path, 1.0),))
    path.write_bytes(loras[0].read_bytes())
    first = draw(sampler, request)
    path.unlink()
    path.write_bytes(loras[1].read_bytes())
    assert draw(sampler, request) != first


def test_steps_are_told_over_all_pictures(sampler: Sampler) -> None:
    told: list[tuple[int, int]] = []
    sampler.draw(
        tiny_models() / "tiny",
        dataclasses.replace(REQUEST, count=2, steps=3),
        lambda step, total: told.append((step, total)),
        lambda _: None,
    )
    assert told == [(step, 6) for step in range(1, 7)]


def test_drawing_stops_within_a_step_and_the_sampler_stays_good(sampler: Sampler) -> None:
    before = draw(sampler, REQUEST)
    told: list[int] = []

    def stop_at_two(step: int, _total: int) -> None:
        told.append(step)
        if step == 2:
            raise Cancelled()

    with pytest.raises(Cancelled):
        request = dataclasses.replace(REQUEST, steps=9)
        sampler.draw(tiny_models() / "tiny", request, stop_at_two, lambda _: None)
    assert told == [1, 2]
    assert draw(sampler, REQUEST) == before


def test_a_prompt_that_is_too_long_is_cut_with_a_word_about_it(sampler: Sampler) -> None:
    told: list[str] = []
    request = dataclasses.replace(REQUEST, prompt="a red apple " * 20)
    sampler.draw(tiny_models() / "tiny", request, lambda *_: None, told.append)
    assert told == ["The prompt is 61 tokens long and this model reads 8; the end of it is ignored."]
    told.clear()
    sampler.draw(tiny_models() / "tiny", REQUEST, lambda *_: None, told.append)
    assert told == []


@pytest.mark.parametrize("prompt", ["", "\x00", "🍎" * 50, "‮ abc", "x" * 100_000])
def test_odd_prompts_draw(sampler: Sampler, prompt: str) -> None:
    assert draw(sampler, dataclasses.replace(REQUEST, prompt=prompt))[0].png.startswith(b"\x89PNG")


def test_threads_take_turns(sampler: Sampler) -> None:
    alone = [draw(sampler, dataclasses.replace(REQUEST, seed=seed)) for seed in range(4)]
    drawn: dict[int, list[Drawn]] = {}

    def work(seed: int) -> None:
        drawn[seed] = draw(sampler, dataclasses.replace(REQUEST, seed=seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [drawn[seed] for seed in range(4)] == alone


def test_another_model_takes_the_place_of_the_first(sampler: Sampler, tmp_path: Path) -> None:
    other = build_tiny_model(tmp_path / "other", name="other", seed=1)
    first = draw(sampler, REQUEST)
    assert sampler.draw(other, REQUEST, lambda *_: None, lambda _: None) != first
    assert draw(sampler, REQUEST) == first


def test_a_device_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(EngineError) as caught:
        Sampler("abacus").load(tiny_models() / "tiny")
    assert caught.value.code == "device-missing"
