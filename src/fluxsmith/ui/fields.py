"""Widgets made from the schema's own fields: label, help, limits, choices and default.

A page and the server can never disagree, because the page has no words or limits of its own. Limits
are said beside the label and checked by the schema, not by the widget: so the words of a refusal are
the same on the page, over HTTP and in the shell.
"""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import gradio as gr
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

MAX_RADIO_CHOICES = 4


def field_of(schema: type[BaseModel], name: str) -> FieldInfo:
    """The field's metadata."""
    return schema.model_fields[name]


def default_of(schema: type[BaseModel], name: str) -> Any:
    """The field's default; None if it must be given."""
    default = field_of(schema, name).default
    return None if default is PydanticUndefined else default


def limits_of(schema: type[BaseModel], name: str) -> tuple[float | None, float | None]:
    """The least and the largest value allowed."""
    low: Any = None
    high: Any = None
    for rule in field_of(schema, name).metadata:
        if isinstance(rule, annotated_types.Ge):
            low = rule.ge
        elif isinstance(rule, annotated_types.Gt):
            low = rule.gt
        elif isinstance(rule, annotated_types.Le):
            high = rule.le
    return _number(low), _number(high)


def choices_of(schema: type[BaseModel], name: str) -> tuple[str, ...]:
    """The words allowed, of a field that is one of a few."""
    inner = _inner(field_of(schema, name).annotation)
    return tuple(str(choice) for choice in get_args(inner)) if get_origin(inner) is Literal else ()


def help_of(schema: type[BaseModel], name: str) -> str:
    """The description, and the limits where there are any."""
    says = field_of(schema, name).description or ""
    low, high = limits_of(schema, name)
    if low is None or high is None:
        return says
    above = any(isinstance(rule, annotated_types.Gt) for rule in field_of(schema, name).metadata)
    return f"{says} {'Above ' if above else ''}{_plain(low)} to {_plain(high)}.".strip()


def text(schema: type[BaseModel], name: str, **more: Any) -> Any:
    """A line of text."""
    return gr.Textbox(**_common(schema, name) | more)


def number(schema: type[BaseModel], name: str, **more: Any) -> Any:
    """A number; a line of text where it may be left empty, which Gradio's number cannot be."""
    common = _common(schema, name) | more
    if _may_be_none(field_of(schema, name).annotation):
        return gr.Textbox(**{"placeholder": "Automatic", "max_lines": 1} | common)
    whole = _inner(field_of(schema, name).annotation) is int
    return gr.Number(**common | {"step": 1 if whole else 0.0001})


def slider(schema: type[BaseModel], name: str, *, step: float, **more: Any) -> Any:
    """A number chosen by its place between the limits."""
    low, high = limits_of(schema, name)
    common = _common(schema, name) | {"info": field_of(schema, name).description or None}
    return gr.Slider(**common | {"minimum": low, "maximum": high, "step": step} | more)


def choice(schema: type[BaseModel], name: str, titles: dict[str, str] | None = None, **more: Any) -> Any:
    """One of a few: side by side if they are few; `titles` gives the words and their order."""
    allowed = choices_of(schema, name)
    order = [key for key in titles or () if key in allowed] + [
        key for key in allowed if key not in (titles or ())
    ]
    options = [((titles or {}).get(key, _words(key)), key) for key in order]
    widget = gr.Radio if len(options) <= MAX_RADIO_CHOICES else gr.Dropdown
    return widget(**_common(schema, name) | {"choices": options} | more)


def switch(schema: type[BaseModel], name: str, **more: Any) -> Any:
    """Yes or no."""
    return gr.Checkbox(**_common(schema, name) | more)


def given(value: Any) -> Any:
    """What a widget of `number` holds, with an empty line as None."""
    return (value.strip() or None) if isinstance(value, str) else value


def _common(schema: type[BaseModel], name: str) -> dict[str, Any]:
    return {
        "label": field_of(schema, name).title or _words(name),
        "info": help_of(schema, name) or None,
        "value": "" if default_of(schema, name) is None else default_of(schema, name),
        "elem_id": f"field-{name.replace('_', '-')}",
        "interactive": True,
    }


def _inner(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _may_be_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:.10f}".rstrip("0")


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
