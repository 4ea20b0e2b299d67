"""Where requests go, and how addresses in answers lead back through the proxy.

The server that is set answers at the proxy's root. Addresses of other hosts, such as a region's polling
address or a store of pictures, are found below `/-/HOST`, but only once an answer has named that host: the
proxy leads nowhere else.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fluxsmith.errors import NotFoundError, ValidationError

ELSEWHERE = "/-/"
FOLLOWED = frozenset({"polling_url", "sample", "samples"})
"""Fields whose addresses lead through the proxy on any host; others do on the server's own."""

_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


@dataclass(frozen=True)
class Target:
    """Where a request goes: an address, and path and query below it."""

    at: str
    path: str

    @property
    def url(self) -> str:
        """The whole address."""
        return self.at + self.path


class Addresses:
    """The addresses of one server, as they are and as they lead through the proxy."""

    def __init__(self, to: str) -> None:
        self.to = checked(to)
        self._others: dict[str, str] = {}
        self._lock = threading.Lock()

    def target(self, path: str) -> Target:
        """Where a request for the proxy's path goes.

        Raises:
            NotFoundError: it names a host that no answer has named.
        """
        if not path.startswith(ELSEWHERE):
            return Target(self.to, path)
        host, slash, rest = path.removeprefix(ELSEWHERE).partition("/")
        with self._lock:
            at = self._others.get(host)
        if at is None:
            raise NotFoundError(
                "host-not-named",
                f"No answer that passed here has named the host '{host}'.",
                hint="The proxy leads to the host of --to, and to those that its answers name.",
            )
        return Target(at, slash + rest)

    def through(self, value: Any, here: str, name: str = "") -> Any:
        """JSON of an answer, its addresses led through the proxy, which the client reaches at `here`."""
        if isinstance(value, dict):
            return {key: self.through(item, here, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.through(item, here, name) for item in value]
        return self.led(value, here, anywhere=name in FOLLOWED) if isinstance(value, str) else value

    def led(self, text: str, here: str, *, anywhere: bool = False) -> str:
        """An address as it leads through the proxy; anything else as it is."""
        if not text.startswith(("http://", "https://")):
            return text
        rest = text.removeprefix(self.to)
        if rest != text and (not rest or rest[0] in "/?#"):
            return here + rest
        origin = origin_of(text)
        if not anywhere or origin is None:
            return text
        host = origin.partition("://")[2]
        with self._lock:
            self._others[host] = origin
        return f"{here}{ELSEWHERE}{host}{text[len(origin) :]}"


def checked(to: str) -> str:
    """The address of a server, without a slash at its end.

    Raises:
        ValidationError: it is none.
    """
    if not _ADDRESS.fullmatch(to):
        raise ValidationError(
            "address-malformed",
            f"'{to}' is not the address of a server.",
            hint="Such as --to https://api.bfl.ai, or --to http://127.0.0.1:7860.",
            field="to",
        )
    return to.rstrip("/")


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an address; None if it has a user in it, or is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        return None
    return f"{parts.scheme}://{parts.netloc}"


def same_house(at: str, other: str) -> bool:
    """Whether one address may see what is secret to another: the same host, or a sister over https."""
    ours, theirs = urlsplit(at), urlsplit(other)
    if (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc):
        return True
    return theirs.scheme == "https" and _domain(ours.hostname) == _domain(theirs.hostname) is not None


def _domain(host: str | None) -> str | None:
    """The last two parts of a host's name; None for an address or a name of one part."""
    parts = (host or "").lower().split(".")
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return ".".join(parts[-2:]) if len(parts) > 1 else None
    return None
