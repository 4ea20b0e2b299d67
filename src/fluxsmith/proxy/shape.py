"""How two answers differ in what they are made of: keys and types, and the few values that are stable.

A client breaks when a field is missing, is of another type, or has a state that it does not know; it does
not break when a picture is another one. So that is what is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

STABLE = frozenset({"status"})
"""Fields whose values are part of the contract."""

_TYPES = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


def differences(recorded: Any, came: Any, where: str = "") -> list[str]:
    """What is otherwise in an answer than in the recorded one, each with the field's dotted name."""
    return list(dict.fromkeys(_differences(recorded, came, where)))


def _differences(recorded: Any, came: Any, where: str) -> Iterator[str]:
    was, now = type_of(recorded), type_of(came)
    if was != now:
        yield f"{where or 'the answer'} was {was}, is {now}"
    elif isinstance(recorded, dict):
        yield from _of_objects(recorded, came, where)
    elif isinstance(recorded, list) and recorded and came:
        for index, item in enumerate(came):
            expected = recorded[min(index, len(recorded) - 1)]
            yield from _differences(expected, item, f"{where}[]")
    elif where.rpartition(".")[2] in STABLE and recorded != came:
        yield f"{where} was '{recorded}', is '{came}'"


def _of_objects(recorded: dict[str, Any], came: dict[str, Any], where: str) -> Iterator[str]:
    for name, value in recorded.items():
        field = f"{where}.{name}" if where else name
        if name in came:
            yield from _differences(value, came[name], field)
        else:
            yield f"{field} is missing"
    for name in came:
        if name not in recorded:
            yield f"{where}.{name} is new" if where else f"{name} is new"


def type_of(value: Any) -> str:
    """What a piece of JSON is, in words."""
    return _TYPES.get(type(value), "a number")
