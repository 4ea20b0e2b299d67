"""Between the environment and the settings: which variables a setting is read from, and what is wrong.

Gives pydantic-settings a source that reads through `EnvManager`, and turns pydantic's errors into a
`ConfigError` that names variable, value and origin. Knows no setting by name but the foreign aliases.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

import annotated_types
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from fluxsmith.config.env import EnvManager, Reading, wrong
from fluxsmith.errors import ConfigError

PREFIX = "FLUXSMITH_"
FOREIGN = {"bfl_api_key": "BFL_API_KEY", "fal_key": "FAL_KEY", "hf_token": "HF_TOKEN"}


def variables(name: str) -> tuple[str, ...]:
    """The variables that a setting is read from; the first one wins."""
    own = f"{PREFIX}{name.upper()}"
    return (own, FOREIGN[name]) if name in FOREIGN else (own,)


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting must never be shown."""
    return _without_none(field.annotation) is SecretStr


class EnvSource(PydanticBaseSettingsSource):
    """Reads each field from its variables; `readings` keeps where each came from."""

    def __init__(self, settings_cls: type[BaseSettings], env: EnvManager) -> None:
        super().__init__(settings_cls)
        self._env = env
        self.readings: dict[str, Reading] = {}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one field, or None if no variable is set."""
        names = variables(field_name)
        reading = self._env.find(*names)
        if reading is None:
            return None, field_name, False
        self.readings[field_name] = reading
        return self._typed(field, names), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All fields that are set.

        Raises:
            ConfigError: a variable has the wrong form.
        """
        fields = self.settings_cls.model_fields
        values = {name: self.get_field_value(field, name)[0] for name, field in fields.items()}
        return {name: value for name, value in values.items() if value is not None}

    def _typed(self, field: FieldInfo, names: tuple[str, ...]) -> Any:
        kind = _without_none(field.annotation)
        if kind is bool:
            return self._env.get_bool(*names)
        if kind is int:
            at_least, at_most = _limits(field)
            return self._env.get_int(*names, at_least=at_least, at_most=at_most)
        if kind is float:
            at_least, at_most = _limits(field)
            return self._env.get_float(*names, at_least=at_least, at_most=at_most)
        if typing.get_origin(kind) is tuple:
            return self._env.get_list(*names)
        text = self._env.get(*names)
        return text.lower() if text is not None and typing.get_origin(kind) is Literal else text


def explain(error: ValidationError, source: EnvSource, values: Mapping[str, Any]) -> ConfigError:
    """The first of pydantic's errors, as a ConfigError in words."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    given = Reading(variables(name)[0], str(values.get(name)), "the command line")
    reading = source.readings.get(name, given)
    field = source.settings_cls.model_fields.get(name)
    context = first.get("ctx", {})
    found = wrong(
        reading, _expected(first["type"], first["msg"], context), secret=field is None or is_secret(field)
    )
    if "hint" not in context:
        return found
    return ConfigError(first["type"], found.message, hint=str(context["hint"]), field=reading.name)


def _expected(kind: str, message: str, context: Mapping[str, Any]) -> str:
    words = {
        "literal_error": "{expected}",
        "too_short": "at least {min_length} characters long",
        "greater_than_equal": "at least {ge}",
        "less_than_equal": "at most {le}",
        "extra_forbidden": "the name of a setting",
    }
    if kind in words:
        return words[kind].format(**context)
    return message.removeprefix("Input should be ")


def _limits(field: FieldInfo) -> tuple[Any, Any]:
    at_least = next((limit.ge for limit in field.metadata if isinstance(limit, annotated_types.Ge)), None)
    at_most = next((limit.le for limit in field.metadata if isinstance(limit, annotated_types.Le)), None)
    return at_least, at_most


def _without_none(annotation: Any) -> Any:
    """`X` of `X | None`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(part for part in typing.get_args(annotation) if part is not type(None))
    return annotation
