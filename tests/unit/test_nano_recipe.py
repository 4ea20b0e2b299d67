"""The parts of the nano recipe that need no training: scenes, captions, styles, optimizer, measure."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline

pytest.importorskip("resvg_py")

from benchmarks.report import measured, publish
from recipes.nano.captions import caption, reference_caption, unknown_word, with_article
from recipes.nano.card import BEGIN, END, sheet_prompts, write_numbers
from recipes.nano.evaluate import ask
from recipes.nano.icons import SIDE, IconSet
from recipes.nano.latents import PLAIN_SHARE, Encoded
from recipes.nano.measure import StyleJudge, features, ranks
from recipes.nano.muon import Optimizer, orthogonalised
from recipes.nano.pixels import SIDES
from recipes.nano.scenes import Scene, draw, plain_scenes, random_scene
from recipes.nano.styles import MADE_STYLES
from recipes.nano.things import all_things, known_things
from recipes.nano.transformer import image_positions, reference_positions
from recipes.nano.trials import Lineup, new_thing

THINGS = all_things()[:3]


@pytest.fixture
def icons() -> IconSet:
    """Three things in three sets: squares of different sizes and colours."""
    pictures = np.zeros((3, 3, SIDE, SIDE, 4), np.uint8)
    for row in range(3):
        for column in range(3):
            edge = 16 + 12 * row
            pictures[row, column, edge:-edge, edge:-edge] = (80 * row, 80 * column, 200, 255)
    return IconSet([thing.icon for thing in THINGS], pictures)


def test_a_scene_is_drawn_as_it_says(icons: IconSet) -> None:
    plain, blue = draw([Scene(THINGS[0], 0, "3d"), Scene(THINGS[0], 0, "3d", background="blue")], icons, 128)
    assert plain.shape == (3, 128, 128)
    assert torch.allclose(plain[:, 0, 0], torch.ones(3))
    assert torch.allclose(blue[:, 0, 0], torch.tensor([0.2, 0.42, 0.85]) * 2 - 1, atol=1e-5)
    assert torch.equal(plain[:, 64, 64], blue[:, 64, 64])


def test_a_shift_moves_the_thing_right_and_down(icons: IconSet) -> None:
    [picture] = draw([Scene(THINGS[0], 0, "3d", scale=0.5, shift=(0.5, 0.5))], icons, 128)
    dark = (picture < 0.9).any(dim=0).nonzero().float().mean(dim=0)
    assert torch.allclose(dark, torch.tensor([95.5, 95.5]), atol=1.0)


@pytest.mark.parametrize("style", MADE_STYLES)
def test_a_made_style_gives_valid_pictures(icons: IconSet, style: str) -> None:
    picture = draw([Scene(THINGS[1], 1, style)], icons, 128)
    assert picture.min() >= -1.001
    assert picture.max() <= 1.001
    assert not torch.equal(picture, draw([Scene(THINGS[1], 1, "flat")], icons, 128))


def test_captions_say_what_is_unusual_and_are_sometimes_empty() -> None:
    rng = random.Random(0)
    scene = Scene(THINGS[0], 1, "flat", scale=0.5, turn=20, background="blue")
    captions = [caption(scene, rng) for _ in range(400)]
    assert 15 < captions.count("") < 75
    for word in ("blue", "small", "tilted"):
        assert sum(word in text for text in captions) > 220


def test_articles() -> None:
    assert [with_article(word) for word in ("apple", "cat", "books", "cactus")] == [
        "an apple",
        "a cat",
        "books",
        "a cactus",
    ]


def test_unknown_words_hide_no_known_thing() -> None:
    rng = random.Random(0)
    known = {word for thing in known_things() for word in thing.words}
    assert not known & {unknown_word(rng) for _ in range(2000)}


def test_things_have_words_of_their_own() -> None:
    words = [word for thing in all_things() for word in thing.words]
    assert len(words) == len(set(words))
    assert len(plain_scenes(known_things())) == 3 * len(known_things())


def test_random_scenes_are_the_same_for_the_same_seed() -> None:
    assert [random_scene(THINGS, random.Random(3)) for _ in range(5)] == [
        random_scene(THINGS, random.Random(3)) for _ in range(5)
    ]


def test_small_pictures_spread_over_the_large_grid() -> None:
    small, large = SIDES
    rows = sorted(set(image_positions(small)[:, 1].tolist()))
    assert rows == [0.5, 2.5, 4.5, 6.5]
    assert sorted(set(image_positions(large)[:, 2].tolist())) == list(range(8))


def test_references_stand_where_the_pipeline_puts_them() -> None:
    [theirs] = Flux2KleinPipeline._prepare_image_ids([torch.zeros(1, 64, 4, 4)])
    assert torch.equal(reference_positions(), theirs.float())


def test_half_of_what_is_shown_is_plain_and_references_show_the_thing_in_another_style() -> None:
    scenes = [*plain_scenes(THINGS), Scene(THINGS[1], 0, "outline")]
    plain = {thing.icon: [3 * row, 3 * row + 1, 3 * row + 2] for row, thing in enumerate(THINGS)}
    encoded = Encoded(scenes, plain, [9], {}, torch.empty(0))
    rng = random.Random(0)
    chosen = [encoded.choose(rng) for _ in range(1000)]
    assert abs(sum(number < 9 for number in chosen) / 1000 - PLAIN_SHARE) < 0.05
    assert {encoded.reference(scenes[4], rng) for _ in range(50)} == {3, 5}
    assert {encoded.reference(scenes[9], rng) for _ in range(50)} == {3, 4, 5}


def test_captions_of_references_name_all_but_the_thing() -> None:
    rng = random.Random(0)
    scene = Scene(THINGS[1], 1, "flat", background="blue")
    captions = [reference_caption(scene, rng) for _ in range(200)]
    assert not any(word in text for text in captions for word in THINGS[1].words)
    assert sum("blue" in text for text in captions) > 140


def test_every_thing_is_asked_for_before_any_is_asked_for_again() -> None:
    asked = ask(THINGS, 7, seed=1)
    assert len(asked) == 7
    assert sorted(thing for thing, _ in asked[:3]) == [0, 1, 2]
    assert sorted(thing for thing, _ in asked[3:6]) == [0, 1, 2]


def test_the_sheet_has_sixty_prompts() -> None:
    for things in (known_things(), all_things()[:8]):
        assert len(sheet_prompts(things)) == 60


def test_the_cards_numbers_are_those_that_were_measured(tmp_path: Path) -> None:
    rows = [
        measured("right", 61.5, "%", at_least=60),
        measured("wrong", 12.0, "%", at_most=10),
        measured("beside", 3.0, "dB"),
    ]
    publish("nano", rows, ("torch",), tmp_path, took_s=120)
    card = tmp_path / "README.md"
    card.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    for _ in range(2):
        write_numbers(card, tmp_path / "nano.json")
    text = card.read_text()
    assert "stale" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| right | 61.5 % | >= 60 | yes |" in text
    assert "| wrong | 12 % | <= 10 | **no** |" in text
    assert "| beside | 3 dB | - |  |" in text


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    matrix = torch.randn(64, 300, generator=torch.Generator().manual_seed(0))
    for shape in (matrix, matrix.T):
        values = torch.linalg.svdvals(orthogonalised(shape))
        assert values.min() > 0.6
        assert values.max() < 1.25


def test_the_optimizer_moves_every_matrix_once_in_two_steps() -> None:
    blocks = torch.nn.ModuleDict(
        {"transformer_blocks": torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in "ab"))}
    )
    optimizer = Optimizer([blocks])
    matrices = optimizer.parameters[: optimizer.matrices]
    before = [matrix.clone() for matrix in matrices]
    for step, moved in ((0, [True, False]), (1, [True, True])):
        for index, matrix in enumerate(matrices):
            optimizer.update(index, torch.ones_like(matrix), step, 1.0)
        assert [not torch.equal(new, old) for new, old in zip(matrices, before, strict=True)] == moved


def test_a_team_shares_out_every_parameter_once() -> None:
    blocks = torch.nn.ModuleDict({"layers": torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(6)))})
    dealt = Optimizer([blocks]).owned(3)
    assert sorted(index for part in dealt for index in part) == list(range(12))
    assert all(part for part in dealt)


def test_the_measure_finds_the_right_picture_and_fails_on_noise(icons: IconSet) -> None:
    references = draw([Scene(thing, 0, "3d") for thing in THINGS], icons, 128)
    right = torch.arange(3)
    assert torch.allclose(features(references).norm(dim=1), torch.ones(3))
    assert ranks(references, references, right).tolist() == [0, 0, 0]
    noise = torch.randn(3, 3, 128, 128, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert ranks(noise, references, right).tolist() != [0, 0, 0]


def test_the_judge_of_styles_tells_soft_from_hard_pictures() -> None:
    rng = torch.Generator().manual_seed(0)
    squares = torch.ones(24, 3, 128, 128)
    for picture in squares:
        top, left = torch.randint(10, 60, (2,), generator=rng).tolist()
        picture[:, top : top + 50, left : left + 50] = torch.rand(3, 1, 1, generator=rng) * 1.6 - 1
    soft = torch.nn.functional.avg_pool2d(squares, 9, stride=1, padding=4, count_include_pad=False)
    judge = StyleJudge([squares[:16], soft[:16]])
    assert judge.judge(squares[16:]).tolist() == [0] * 8
    assert judge.judge(soft[16:]).tolist() == [1] * 8


def test_a_lineup_knows_a_thing_that_is_turned_and_none_in_noise(icons: IconSet) -> None:
    lineup = Lineup(icons, THINGS)
    shown = new_thing(icons, THINGS[2])
    assert len(shown.pictures) == len(shown.captions) == 10
    assert lineup.rank(draw([Scene(THINGS[2], 0, "3d", scale=0.75, turn=8)] * 4, icons, 128), 2) == 0
    noise = torch.randn(4, 3, 128, 128, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert [lineup.rank(noise, right) for right in range(3)] != [0, 0, 0]
