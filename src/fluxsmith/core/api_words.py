"""What a remote service says in the body of an error: one sentence out of all the shapes that were seen.

Shapes: §6 of the contract. `detail` is text or a list of `{loc, msg}`, or there is `message` with `details`
as `{field: text}`, or `error`, which is text or an object. Anything else says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_CHARACTERS = 300
MOST_FIELDS = 5


@dataclass(frozen=True)
class Said:
    """What an answer says is wrong, and the first field that it names."""

    text: str = ""
    field: str | None = None


def read_words(body: object) -> Said:
    """The words of an error's body, whatever its shape."""
    if not isinstance(body, dict):
        return Said()
    fields = _fields(body)
    if fields:
        shown = [f"{name}: {words}" if name else words for name, words in fields[:MOST_FIELDS]]
        return Said(_shown("; ".join(shown)), fields[0][0] or None)
    for key in ("message", "detail", "details", "error", "msg"):
        value = body.get(key)
        if isinstance(value, dict):
            value = read_words(value).text
        if isinstance(value, str) and value.strip():
            return Said(_shown(value))
    return Said()


def _fields(body: dict[str, object]) -> list[tuple[str, str]]:
    detail, details = body.get("detail"), body.get("details")
    if isinstance(detail, list):
        return [_located(item) for item in detail if isinstance(item, dict)]
    if isinstance(details, dict) and "message" not in details:
        return [(str(name), words) for name, words in details.items() if isinstance(words, str)]
    return []


def _located(item: dict[str, object]) -> tuple[str, str]:
    location = item.get("loc")
    parts = [str(part) for part in location] if isinstance(location, list) else []
    return ".".join(part for part in parts if part != "body"), str(item.get("msg", ""))


def _shown(text: str) -> str:
    """One line of printable text, not too long."""
    line = "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"
