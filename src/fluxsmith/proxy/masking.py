"""Takes secrets out of what is recorded: keys, cookies, signatures of addresses, webhooks.

A secret is known by the name of its header, field or query parameter. Each is replaced by `secret-1`,
`secret-2`, …: the same secret by the same word, so that a replay can follow an address that was signed.
What was once met as a secret is also taken out wherever else it turns up, such as in an error that repeats
the key. A webhook's address is a secret too: a replay must not reach whoever was told of the recorded one.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

WEBHOOK = "https://webhook.invalid/"  # a name that leads nowhere, by RFC 2606
SHORTEST_SOUGHT = 8  # characters; every occurrence of a shorter one would garble the recording

_HEADER = re.compile(r"key|auth|cookie|secret|token|signature|credential|session|password", re.IGNORECASE)
_FIELD = re.compile(
    r"(^|[-_])key$|api[-_]?key|authorization|password|passwd|secret|token$|cookie|signature|credential",
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"key|auth|secret|token|^sig$|signature|credential|password|policy|session|^x-amz-|^x-goog-|^expires$"
    r"|^(se|sv|sr|sp|spr|st|ske|skoid|sks|skt|sktid|skv)$",  # a signed address of Azure, as BFL's are
    re.IGNORECASE,
)
_WEBHOOK = re.compile(r"(webhook|callback)[-_]?ur[il]", re.IGNORECASE)
_SCHEME = re.compile(r"(Bearer|Basic|Key|Token|X-Key)\s+(.+)", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r"([?&]|&amp;)([^=&\s\"'<>#]+)=([^&\s\"'<>#]+)")
_PAIR = re.compile(r"(\"([^\"\\]+)\"\s*:\s*)(\"(?:[^\"\\]|\\.)*\")")  # of JSON that is part of a text
_USER = re.compile(r"(://)([^/@\s\"'<>]+)(@)")
_FILE_LINK = re.compile(r"(/files/)([^/?#\s\"'<>]{16,})")  # of our server: its path is signed
_FORM_PART = re.compile(
    r"(name=\"([^\"]*)\"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)(.*?)(?=\r\n--)", re.IGNORECASE | re.DOTALL
)


def is_secret_header(name: str) -> bool:
    """Whether a header of that name holds a secret."""
    return bool(_HEADER.search(name))


class Secrets:
    """The secrets met so far, and what stands in their place.

    Args:
        known: what is a secret wherever it is met, such as the keys that are set here.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._words: dict[str, str] = {}
        self._sought: set[str] = set()
        for value in known:
            self.learn(value)

    def word(self, value: str) -> str:
        """What stands in a secret's place."""
        if value in self._words.values():
            return value  # masked already
        return self._words.setdefault(value, f"secret-{len(self._words) + 1}")

    def learn(self, value: str) -> str:
        """What stands in a secret's place; it is sought everywhere from now on."""
        word = self.word(value)
        if word != value and len(value) >= SHORTEST_SOUGHT:
            self._sought.add(value)
        return word

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers by their names in small letters; of an authorization its scheme stays."""
        return {name.lower(): self._header(name, value) for name, value in headers.items()}

    def text(self, text: str) -> str:
        """Text without the secrets of the addresses in it."""
        text = _USER.sub(lambda found: found[1] + self.learn(found[2]) + found[3], text)
        text = _FILE_LINK.sub(lambda found: found[1] + self.word(found[2]), text)
        text = _PARAMETER.sub(self._parameter, text)
        return _PAIR.sub(self._pair, text)

    def query(self, query: str) -> str:
        """A query, or a form in a query's form."""
        return self.text(f"?{query}")[1:]

    def form(self, parts: bytes) -> bytes:
        """A form of several parts, without those that are secrets by their names."""

        def masked(found: re.Match[str]) -> str:
            return found[1] + str(self._field(found[2], found[3]))

        return _FORM_PART.sub(masked, parts.decode("latin-1")).encode("latin-1")

    def data(self, value: Any) -> Any:
        """JSON without what is secret by its name, and without the secrets of addresses."""
        if isinstance(value, dict):
            return {name: self._field(name, item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.data(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def sweep(self, line: str) -> str:
        """JSON text without any secret met so far, however it is written."""
        for value, word in self._forms():
            line = line.replace(value, word)
        return line

    def sweep_bytes(self, data: bytes) -> bytes:
        """Bytes without any secret met so far."""
        for value, word in self._forms():
            data = data.replace(value.encode("utf-8", "surrogatepass"), word.encode())
        return data

    def _forms(self) -> list[tuple[str, str]]:
        """Every form in which a secret that is sought may be written, the longest first, with its word."""
        forms = {
            form: self._words[value]
            for value in self._sought
            for form in (
                value,
                quote(value, safe="", errors="replace"),
                json.dumps(value)[1:-1],
                _escaped(value),
            )
        }
        return sorted(forms.items(), key=lambda item: len(item[0]), reverse=True)

    def _header(self, name: str, value: str) -> str:
        if _WEBHOOK.search(name):
            return self._webhook(value)
        if not is_secret_header(name) or not value:
            return self.text(value)
        scheme = _SCHEME.fullmatch(value)
        if scheme is None:
            return self.learn(value)
        if scheme[1].lower() == "basic":
            self._learn_basic(scheme[2])
        return f"{scheme[1]} {self.learn(scheme[2])}"

    def _webhook(self, value: str) -> str:
        if value != WEBHOOK:
            self.learn(value)
        return WEBHOOK

    def _learn_basic(self, value: str) -> None:
        try:
            password = base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return
        if password:
            self.learn(password)

    def _parameter(self, found: re.Match[str]) -> str:
        name, value = unquote(found[2]), unquote(found[3])
        if _WEBHOOK.search(name):
            return f"{found[1]}{found[2]}={quote(self._webhook(value), safe='')}"
        return f"{found[1]}{found[2]}={self.learn(value)}" if _QUERY.search(name) else found[0]

    def _pair(self, found: re.Match[str]) -> str:
        if not (_FIELD.search(found[2]) or _WEBHOOK.search(found[2])):
            return found[0]
        try:
            value = json.loads(found[3])
        except ValueError:
            value = found[3][1:-1]
        return found[1] + json.dumps(self._field(found[2], value))

    def _field(self, name: str, value: Any) -> Any:
        if _WEBHOOK.search(name) and isinstance(value, str) and value:
            return self._webhook(value)
        return self._hidden(value) if _FIELD.search(name) else self.data(value)

    def _hidden(self, value: Any) -> Any:
        """A secret's place taken by something of its own type, so that shapes stay."""
        if isinstance(value, dict):
            return {name: self._hidden(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._hidden(item) for item in value]
        if isinstance(value, str) and value:
            return self.learn(value)
        return 0 if isinstance(value, int | float) and not isinstance(value, bool) else value


def _escaped(value: str) -> str:
    """As JSON text writes it that leaves other alphabets as they are."""
    return json.dumps(value, ensure_ascii=False)[1:-1]
