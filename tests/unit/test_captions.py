"""The words that pictures are trained with."""

import pytest

from fluxsmith.services.finetuning.captions import training_caption


def test_a_caption_without_the_trigger_word_gets_it_in_front() -> None:
    assert training_caption("on a blue background", "tok", "general", True) == "tok, on a blue background"


def test_a_caption_with_the_trigger_word_is_kept_whatever_its_case() -> None:
    assert training_caption("a Tok on a beach", "tok", "general", True) == "a Tok on a beach"


def test_a_trigger_word_inside_another_word_does_not_count() -> None:
    assert training_caption("a token", "tok", "general", True) == "tok, a token"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("general", "tok"), ("character", "tok"), ("product", "tok"), ("style", "tok style")],
)
def test_a_picture_without_a_caption_gets_one_that_fits_the_mode(mode: str, expected: str) -> None:
    assert training_caption(None, "tok", mode, True) == expected  # type: ignore[arg-type]


def test_without_captioning_a_picture_gets_the_bare_trigger_word() -> None:
    assert training_caption("  ", "tok", "style", False) == "tok"


def test_a_trigger_word_with_regular_expression_characters_is_taken_literally() -> None:
    assert training_caption("a c++ mug", "c++", "general", True) == "a c++ mug"
