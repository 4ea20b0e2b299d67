"""Requests to addresses that strangers name: none goes into the server's own network.

A name is looked up once, every address that it has is checked, and the connection goes to a checked one:
between check and connect nothing is asked again, so a name that changes its mind (DNS rebinding) gains
nothing. Redirects are not followed and proxies of the environment are not used.
Source: OWASP's "Server-Side Request Forgery Prevention"; Python's `ipaddress` for IANA's special ranges.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpcore

from fluxsmith.core.deadline import DeadlineStream, at_most
from fluxsmith.errors import APIError, PermissionDenied, ValidationError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host; raises OSError if it has none."""

METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Addresses of clouds' own services in public ranges (Azure's); the others are link-local or private."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
ALLOW = "FLUXSMITH_ALLOW_PRIVATE_ADDRESSES=true allows addresses inside the server's own network."


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also if it wraps another one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = _wrapped(ip)
    if inner is not None and not is_public(str(inner)):
        return False
    return ip.is_global and not ip.is_multicast and ip not in METADATA


def _wrapped(ip: IpAddress) -> IpAddress | None:
    """The IPv4 address that an IPv6 one stands for, by mapping, 6to4, Teredo or NAT64."""
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if ip in NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Outbound:
    """Sends requests to addresses that others name.

    Args:
        allow_private: whether addresses inside the server's own network are allowed too.
        limit_s: how long one request may take in all, however slowly the other side answers.
        resolve: looks names up.
    """

    def __init__(self, allow_private: bool, limit_s: float, resolve: Resolve = resolve) -> None:
        self._allow_private = allow_private
        self._limit_s = limit_s
        self._resolve = resolve

    def check(self, url: str, *, field: str) -> None:
        """Refuse a URL that can be refused without looking its name up.

        Raises:
            ValidationError: it is no web address, holds a password, or names an address that is not public.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise ValidationError(
                "address-refused",
                f"{field} must be an address that begins with https:// or http://.",
                field=field,
            )
        if parts.username is not None or parts.password is not None:
            raise ValidationError(
                "address-refused",
                f"{field} must not have a user name or a password in it.",
                field=field,
            )
        if not self._allow_private and (_is_local_name(host) or not _public_if_literal(host)):
            raise ValidationError(
                "address-refused",
                f"{field} names an address inside the server's own network ({host}).",
                hint=ALLOW,
                field=field,
            )

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a body and return the status of the answer; the answer's body is not read.

        Raises:
            PermissionDenied: the name stands for an address that is not public.
            APIError: nobody answered, or not in time.
        """
        with self._exchange("POST", url, headers, body) as answer:
            return answer.status

    def get(self, url: str, *, field: str, most_bytes: int) -> bytes:
        """What lies at an address, read no further than to `most_bytes`; redirects are not followed.

        Raises:
            ValidationError: as `check`; or nothing of use lies there, or it is too large.
            PermissionDenied: the name stands for an address that is not public.
            APIError: nobody answered, or not in time.
        """
        self.check(url, field=field)
        with self._exchange("GET", url, {"host": urlsplit(url).netloc}, b"") as answer:
            if answer.status != HTTPStatus.OK:
                raise ValidationError(
                    "nothing-there",
                    f"{field} leads to no file: its server answered {answer.status}.",
                    hint="Give the file's own address; redirects are not followed.",
                    field=field,
                )
            read = bytearray()
            for chunk in answer.iter_stream():
                read += chunk
                if len(read) > most_bytes:
                    raise ValidationError(
                        "file-too-large",
                        f"{field} leads to a file of more than {most_bytes // 1_000_000} MB.",
                        hint="Send a smaller one.",
                        field=field,
                    )
            return bytes(read)

    @contextmanager
    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Iterator[httpcore.Response]:
        backend = _Backend(self.addresses, time.monotonic() + self._limit_s)
        waits = dict.fromkeys(("connect", "read", "write", "pool"), self._limit_s)
        try:
            with (
                httpcore.ConnectionPool(network_backend=backend, max_connections=1) as pool,
                pool.stream(
                    method, url, headers=list(headers.items()), content=body, extensions={"timeout": waits}
                ) as answer,
            ):
                yield answer
        except httpcore.TimeoutException as error:
            raise APIError("remote-slow", f"No answer within {self._limit_s:g} seconds.") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise APIError(
                "remote-unreachable", f"No answer: {str(error) or type(error).__name__}."
            ) from error

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host, all of them checked.

        Raises:
            PermissionDenied: one of them is not public.
            APIError: there is none.
        """
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise APIError("name-unknown", f"The name {host} cannot be looked up.") from error
        if not self._allow_private and not all(is_public(address) for address in found):
            raise PermissionDenied(
                "address-refused", f"{host} is an address inside the server's own network.", hint=ALLOW
            )
        return found


def _is_local_name(host: str) -> bool:
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith((".localhost", ".local", ".internal"))


def _public_if_literal(host: str) -> bool:
    """False for an IP address that is not public; True for names, which are looked up later."""
    try:
        return is_public(host)
    except ValueError:
        return True


class _Backend(httpcore.NetworkBackend):
    """Connects to checked addresses only, and to an end of time."""

    def __init__(self, addresses: Callable[[str, int], Sequence[str]], ends_at: float) -> None:
        self._addresses = addresses
        self._ends_at = ends_at
        self._plain = httpcore.SyncBackend()

    def _left(self) -> float:
        return self._ends_at - time.monotonic()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Try the checked addresses of a host in order."""
        trouble: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._addresses(host, port):
            try:
                limit = at_most(self._left, None, httpcore.ConnectTimeout)
                stream = self._plain.connect_tcp(address, port, limit, local_address)
                return DeadlineStream(stream, self._left)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                trouble = error
        raise trouble
