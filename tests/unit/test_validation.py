"""What is said about wrong input, in the words that page, API and shell share."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from fluxsmith.core.validation import ValidationService, explain, invalid_input
from fluxsmith.errors import ValidationError
from fluxsmith.providers.base import FinetuneParameters


class Order(BaseModel):
    """A schema of every kind of field."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=5, title="Name")
    count: int | None = Field(None, ge=1, le=9, title="Count")
    rate: float = Field(1.0, gt=0, lt=2, allow_inf_nan=False, title="Rate")
    quick: bool = Field(False, title="Quick")
    words: tuple[str, ...] = Field((), max_length=2, title="Words")
    word: str = Field("a", pattern="^[a-z]+$", title="Word")
    parameters: FinetuneParameters = FinetuneParameters()

    @field_validator("word")
    @classmethod
    def _harmless(cls, value: str) -> str:
        if value == "bad":
            raise ValueError("must not be bad")
        return value


def said(data: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        ValidationService().parse(Order, data)
    assert caught.value.code == "invalid-input"
    return caught.value


def test_right_input_is_returned_as_its_schema() -> None:
    assert ValidationService().parse(Order, {"name": "x", "count": 3}).count == 3
    assert ValidationService().parse_json(Order, b'{"name": "x"}').name == "x"


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        ({"name": ""}, "name", "Name must not be empty."),
        ({"name": "toolong"}, "name", "Name must have at most 5 characters, not 7."),
        ({"name": 5}, "name", "Name must be text."),
        ({"name": "\ud800"}, "name", "Name must be valid Unicode text."),
        ({"count": 0}, "count", "Count must be at least 1, not 0."),
        ({"count": 10}, "count", "Count must be at most 9, not 10."),
        ({"count": 10**5_000}, "count", "Count must be at most 9."),
        ({"count": 1.5}, "count", "Count must be a whole number, not 1.5."),
        ({"count": "many"}, "count", "Count must be a whole number, not 'many'."),
        ({"count": "x" * 99}, "count", "Count must be a whole number."),
        ({"rate": 0}, "rate", "Rate must be more than 0, not 0."),
        ({"rate": 2}, "rate", "Rate must be less than 2, not 2."),
        ({"rate": float("inf")}, "rate", "Rate must be a finite number."),
        ({"quick": "perhaps"}, "quick", "Quick must be true or false, not 'perhaps'."),
        ({"words": ["a", "b", "c"]}, "words", "Words must have at most 2 entries, not 3."),
        ({"words": "a"}, "words", "Words must be a list."),
        ({"word": "A1"}, "word", "Word has a form that is not allowed, not 'A1'."),
        ({"word": "bad"}, "word", "Word must not be bad."),
        ({"color": 1}, "color", "There is no field 'color'."),
        ({"parameters": 1}, "parameters", "Parameters must be an object with named fields."),
        ({"parameters": {"steps": 0}}, "parameters.steps", "Steps must be at least 1, not 0."),
        (
            {"parameters": {"resolution": 100}},
            "parameters.resolution",
            "Resolution must be a multiple of 16, not 100.",
        ),
        (
            {"parameters": {"finetune_type": "x"}},
            "parameters.finetune_type",
            "Type must be 'lora' or 'full', not 'x'.",
        ),
    ],
)
def test_a_mistake_is_told_with_the_fields_title(wrong: dict[str, object], field: str, message: str) -> None:
    error = said({"name": "x"} | wrong)
    assert (error.field, error.message) == (field, message)


def test_a_missing_field_is_named() -> None:
    assert said({}).message == "Name is missing."


def test_input_of_another_kind_is_told_without_a_field() -> None:
    error = said([1])
    assert (error.field, error.message) == (None, "The input must be an object with named fields.")


def test_text_that_is_no_json_is_told_as_such() -> None:
    with pytest.raises(ValidationError, match=r"^The body is not valid JSON \(.*\)\.$"):
        ValidationService().parse_json(Order, b"{nope")


def test_several_mistakes_are_told_together_but_not_endlessly() -> None:
    error = said({"name": "", "count": 0} | {f"x{n}": n for n in range(9)})
    assert error.message.startswith("Name must not be empty. Count must be at least 1, not 0. There is no")
    assert error.message.endswith("6 more problems follow.")
    assert error.field == "name"


def test_a_name_made_to_harm_is_not_repeated_as_it_is() -> None:
    message = said({"name": "x", "\x1b[31m" + "y" * 500: 1}).message
    assert "\x1b" not in message and len(message) < 100


def test_the_webs_errors_are_told_by_field_names_when_there_is_no_schema() -> None:
    errors = [{"type": "missing", "loc": ("body", "finetune_id"), "msg": "Field required", "input": {}}]
    [problem] = explain(errors)
    assert (problem.field, problem.message) == ("body.finetune_id", "Finetune id is missing.")
    assert invalid_input(errors).message == "Finetune id is missing."


def test_a_mistake_that_has_no_words_here_keeps_pydantics() -> None:
    errors = [{"type": "url_parsing", "loc": ("url",), "msg": "Input should be a valid URL", "input": "x"}]
    assert invalid_input(errors).message == "Url: Input should be a valid URL."
