"""Requests to addresses that others name: looked up once, checked, and never waited for long."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from fluxsmith.core.outbound import Outbound, is_public
from fluxsmith.errors import APIError, PermissionDenied

OK = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"


@contextlib.contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[tuple[int, list[bytes]]]:
    """A port on loopback where every connection is read once and answered; and what was read."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        heard.append(connection.recv(65_536))
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], heard


def outbound(*addresses: str, allow_private: bool = False, limit_s: float = 5) -> Outbound:
    """One for which every name has these addresses."""
    return Outbound(allow_private, limit_s, resolve=lambda host, port: addresses)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "64:ff9b::5db8:d70e"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["93.184.215.14", "169.254.169.254"],
        ["::1"],
        ["fe80::1%eth0"],
        ["::ffff:192.168.0.1"],
        ["2001:0:0a00:1::80ff:fffe"],
    ],
)
def test_a_name_that_stands_for_an_address_inside_is_refused_and_nothing_is_sent(
    addresses: Sequence[str],
) -> None:
    with listening(lambda connection: connection.sendall(OK)) as (port, heard):
        with pytest.raises(PermissionDenied) as caught:
            outbound(*addresses).post(f"http://rebound.example:{port}/", b"{}", {})
        assert heard == []
    assert caught.value.code == "address-refused"


def test_a_name_is_looked_up_once_and_the_checked_address_is_the_one_that_is_used() -> None:
    asked: list[str] = []

    def changes_its_mind(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    with listening(lambda connection: connection.sendall(OK)) as (port, heard):
        sender = Outbound(allow_private=True, limit_s=5, resolve=changes_its_mind)
        assert sender.post(f"http://rebound.example:{port}/x?y=1", b'{"a": 1}', {"x-own": "1"}) == 204
    assert asked == ["rebound.example"]
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /x?y=1 HTTP/1.1"
    assert f"Host: rebound.example:{port}".encode() in head
    assert body in (b"", b'{"a": 1}')


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    with listening(lambda connection: connection.sendall(OK)) as (port, _):
        sender = outbound("127.0.0.9", "127.0.0.1", allow_private=True)
        assert sender.post(f"http://two.example:{port}/", b"", {}) == 204


def test_an_answer_that_drips_is_cut_off_in_time() -> None:
    def drip(connection: socket.socket) -> None:
        for _ in range(100):
            connection.sendall(b"H")
            time.sleep(0.05)

    with listening(drip) as (port, _):
        began = time.monotonic()
        with pytest.raises(APIError) as caught:
            outbound("127.0.0.1", allow_private=True, limit_s=0.5).post(
                f"http://slow.example:{port}/", b"", {}
            )
    assert time.monotonic() - began < 3
    assert caught.value.code in ("remote-slow", "remote-unreachable")


@pytest.mark.parametrize("answer", [b"", b"<html>not http", b"HTTP/1.1 999999 \r\n\r\n"])
def test_an_answer_that_is_no_http_is_told_in_words(answer: bytes) -> None:
    sender = outbound("127.0.0.1", allow_private=True)
    with (
        listening(lambda connection: connection.sendall(answer)) as (port, _),
        pytest.raises(APIError) as caught,
    ):
        sender.post(f"http://odd.example:{port}/", b"", {})
    assert caught.value.code == "remote-unreachable"


def test_a_name_that_nobody_knows_and_a_port_where_nobody_listens_are_told_in_words() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(APIError, match="cannot be looked up"):
        Outbound(False, 5, resolve=unknown).post("http://nowhere.example/", b"", {})
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(APIError, match="No answer"):
        outbound("127.0.0.1", allow_private=True).post(f"http://closed.example:{port}/", b"", {})


def test_encryption_asks_for_the_name_and_sends_nothing_before() -> None:
    sender = outbound("127.0.0.1", allow_private=True)
    with (
        listening(lambda connection: connection.sendall(b"no tls here")) as (port, heard),
        pytest.raises(APIError, match="No answer"),
    ):
        sender.post(f"https://secure.example:{port}/", b"secret", {})
    assert b"secure.example" in heard[0], "the name is what is asked for, not the address"
    assert b"secret" not in heard[0]
