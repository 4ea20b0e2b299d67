"""One way to check input, and one way to say what is wrong with it.

Schemas are pydantic's. Page, API and shell check through here, so the same mistake reads the same
everywhere: a field's title and a sentence, never pydantic's own words or the value of a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import pydantic
from pydantic import BaseModel

from fluxsmith.errors import ValidationError

Schema = TypeVar("Schema", bound=BaseModel)

_MAX_SHOWN_CHARS = 40
_MAX_SHOWN_NUMBER = 10**18
_MAX_SENTENCES = 5
_SENTENCES = {
    "missing": "{title} is missing",
    "extra_forbidden": "there is no field '{name}'",
    "greater_than_equal": "{title} must be at least {ge}{but}",
    "greater_than": "{title} must be more than {gt}{but}",
    "less_than_equal": "{title} must be at most {le}{but}",
    "less_than": "{title} must be less than {lt}{but}",
    "multiple_of": "{title} must be a multiple of {multiple_of}{but}",
    "string_too_long": "{title} must have at most {max_length:,} characters, not {length:,}",
    "too_long": "{title} must have at most {max_length:,} entries, not {length:,}",
    "string_type": "{title} must be text",
    "string_unicode": "{title} must be valid Unicode text",
    "string_pattern_mismatch": "{title} has a form that is not allowed{but}",
    "bool_parsing": "{title} must be true or false{but}",
    "bool_type": "{title} must be true or false{but}",
    "int_parsing": "{title} must be a whole number{but}",
    "int_type": "{title} must be a whole number{but}",
    "int_from_float": "{title} must be a whole number{but}",
    "int_parsing_size": "{title} is too large a number",
    "float_parsing": "{title} must be a number{but}",
    "float_type": "{title} must be a number{but}",
    "finite_number": "{title} must be a finite number",
    "literal_error": "{title} must be {expected}{but}",
    "enum": "{title} must be {expected}{but}",
    "json_invalid": "the body is not valid JSON ({error})",
    "model_type": "{title} must be an object with named fields",
    "model_attributes_type": "{title} must be an object with named fields",
    "dict_type": "{title} must be an object with named fields",
    "list_type": "{title} must be a list",
    "tuple_type": "{title} must be a list",
}


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the input: pydantic's place and type, our sentence."""

    location: tuple[str | int, ...]
    kind: str
    message: str

    @property
    def field(self) -> str:
        """The dotted name of the field, empty for the whole input."""
        return ".".join(str(part) for part in self.location)


class ValidationService:
    """Checks input against schemas."""

    def parse(self, schema: type[Schema], data: object) -> Schema:
        """The schema object for some input, or `ValidationError` in our words."""
        try:
            return schema.model_validate(data)
        except pydantic.ValidationError as error:
            raise invalid_input(error.errors(include_url=False), schema) from error

    def parse_json(self, schema: type[Schema], body: bytes | str) -> Schema:
        """The same for JSON text."""
        try:
            return schema.model_validate_json(body)
        except pydantic.ValidationError as error:
            raise invalid_input(error.errors(include_url=False), schema) from error


def invalid_input(
    errors: Sequence[Mapping[str, Any]], schema: type[BaseModel] | None = None
) -> ValidationError:
    """Our error for pydantic's list of errors, also FastAPI's.

    Args:
        errors: what `errors()` of either gives.
        schema: where the titles of the fields are; without it their names are used.
    """
    problems = explain(errors, schema)
    sentences = [problem.message for problem in problems[:_MAX_SENTENCES]]
    if len(problems) > _MAX_SENTENCES:
        sentences.append(f"{len(problems) - _MAX_SENTENCES} more problems follow.")
    return ValidationError("invalid-input", " ".join(sentences), field=problems[0].field or None)


def explain(errors: Sequence[Mapping[str, Any]], schema: type[BaseModel] | None = None) -> list[Problem]:
    """Each of pydantic's errors in our words, in order."""
    return [
        Problem(tuple(error["loc"]), str(error["type"]), _sentence(error, _title(error["loc"], schema)))
        for error in errors
    ]


def _sentence(error: Mapping[str, Any], title: str) -> str:
    kind, context, value = str(error["type"]), dict(error.get("ctx") or {}), error.get("input")
    if kind in ("string_too_short", "too_short") and not value:
        text = f"{title} must not be empty"
    elif kind in ("value_error", "assertion_error"):
        reason = str(context.get("error", error["msg"]))
        text = f"{title} {reason}" if reason[:1].islower() else reason
    elif kind in _SENTENCES:
        length = len(value) if isinstance(value, (str, list, tuple)) else 0
        words = {"title": title, "name": _last_name(error["loc"]), "but": _but(value), "length": length}
        text = _SENTENCES[kind].format(**(context | words | _tidy(context)))
    else:
        text = f"{title}: {error['msg']}"
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _tidy(context: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of the context without a useless fraction: 'at most 512', not '512.0'."""
    return {
        key: int(value) for key, value in context.items() if isinstance(value, float) and value.is_integer()
    }


def _but(value: object) -> str:
    """', not 7': the value that was given, if it is short and harmless to repeat."""
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < _MAX_SHOWN_NUMBER):
        return f", not {value}"
    if isinstance(value, str) and 0 < len(value) <= _MAX_SHOWN_CHARS and value.isprintable():
        return f", not '{value}'"
    return ""


def _last_name(location: Sequence[str | int]) -> str:
    name = next((part for part in reversed(location) if isinstance(part, str)), "input")
    return name if len(name) <= _MAX_SHOWN_CHARS and name.isprintable() else ascii(name[:_MAX_SHOWN_CHARS])


def _title(location: Sequence[str | int], schema: type[BaseModel] | None) -> str:
    """The title of the field at a location, walking into nested schemas."""
    title = _last_name(location).replace("_", " ") if location else "the input"
    for part in location:
        field = schema.model_fields.get(part) if schema and isinstance(part, str) else None
        if field is None:
            continue
        title = field.title or title
        schema = _nested(field.annotation)
    return title


def _nested(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _nested(inner))), None)
