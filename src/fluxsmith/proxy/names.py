"""What a replay's server calls what the recording's server called otherwise: tasks, finetunes, addresses.

Learned from each pair of answers; applied to each request that follows.
"""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import quote

from fluxsmith.proxy.exchange import Body

_ID = re.compile(r"(^|_)ids?$")
_ADDRESS = re.compile(r"https?://")


class Names:
    """Recorded ids and addresses, and those that stand for them now."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._addresses: dict[str, str] = {}

    def learn(self, recorded: Any, came: Any, name: str = "") -> None:
        """Take from two answers to the same request what is called otherwise now."""
        if isinstance(recorded, dict) and isinstance(came, dict):
            for key in recorded.keys() & came.keys():
                self.learn(recorded[key], came[key], key)
        elif isinstance(recorded, list) and isinstance(came, list):
            for one, other in zip(recorded, came, strict=False):
                self.learn(one, other, name)
        elif isinstance(recorded, str) and isinstance(came, str):
            if _ADDRESS.match(recorded) and _ADDRESS.match(came):
                self._addresses[recorded] = came
            elif _ID.search(name) and recorded:
                self._ids[recorded] = came

    def address(self, url: str) -> str | None:
        """Where what was at a recorded address is now; None if no answer has told."""
        return self._addresses.get(url)

    def text(self, text: str) -> str:
        """A path or a query with the ids of now."""
        for old, new in self._ids.items():
            text = quote(new).join(re.split(rf"(?<![\w-]){re.escape(old)}(?![\w-])", text))
        return text

    def data(self, value: Any) -> Any:
        """JSON with the ids and addresses of now."""
        if isinstance(value, dict):
            return {name: self.data(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.data(item) for item in value]
        if not isinstance(value, str):
            return value
        return self._addresses.get(value) or self._ids.get(value, value)

    def content(self, body: Body | None) -> tuple[Any, bytes | None]:
        """A recorded body to be sent again: as JSON, or as bytes."""
        if body is None or body.kind == "left-out":
            return None, None
        if body.kind == "json":
            return self.data(body.value), None
        if body.kind == "base64":
            return None, base64.b64decode(body.value)
        return None, self.text(str(body.value)).encode()
