"""The one way out over HTTP, against a server that misbehaves at the socket: what is said, what is sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from pydantic import BaseModel

from fluxsmith.core.api_retry import RetryPolicy
from fluxsmith.core.api_service import APIService, Limits
from fluxsmith.errors import APIError, Cancelled
from tests import fake_bfl
from tests.clocks import SkippingClock
from tests.fake_bfl import HTML, TEN_MEGABYTES, FakeBfl, Move, Seen, says
from tests.harness import free_port

KEY = "bfl_0123456789abcdef"
SHORT = Limits(connect_s=1.0, read_s=0.3, total_s=0.5)
GOOD = says(200, {"id": "one"})


class Thing(BaseModel):
    """What the tests ask for."""

    id: str


@pytest.fixture
def api(fake: FakeBfl, clock: SkippingClock) -> Iterator[APIService]:
    service = APIService(fake.url, KEY, clock=clock, uniform=lambda low, high: high)
    yield service
    service.close()


def once(url: str, clock: SkippingClock, limits: Limits | None = None) -> APIService:
    """A service that never repeats."""
    return APIService(url, KEY, clock=clock, limits=limits, retry=RetryPolicy(attempts=1))


def failed(api: APIService, path: str = "/thing") -> APIError:
    with pytest.raises(APIError) as caught:
        api.get(Thing, path)
    return caught.value


def failed_post(api: APIService) -> APIError:
    with pytest.raises(APIError) as caught:
        api.post(Thing, "/thing", {"prompt": "a cup"})
    return caught.value


# What people read.

WIRE_FAULTS: list[tuple[Move, str]] = [
    (fake_bfl.resets, "api-connection-lost"),
    (fake_bfl.slow_headers, "api-timeout"),
    (fake_bfl.a_byte_a_time, "api-timeout"),
    (fake_bfl.hangs, "api-timeout"),
    (fake_bfl.stalls(b'{"id": "one two three"}'), "api-timeout"),
    (fake_bfl.cuts_off(b'{"id": "one two three"}'), "api-answer-truncated"),
    (fake_bfl.lies_about_length(b'{"id": "one two three"}'), "api-not-json"),
    (fake_bfl.damaged_gzip, "api-answer-damaged"),
    (HTML, "api-not-json"),
    (says(200, {"ident": 1}), "api-answer-unknown"),
    (says(200, ["id"]), "api-answer-unknown"),
    (TEN_MEGABYTES, "api-answer-too-large"),
]


@pytest.mark.parametrize(
    ("move", "code"), WIRE_FAULTS, ids=[f"{n}-{c}" for n, (_, c) in enumerate(WIRE_FAULTS)]
)
def test_a_fault_of_the_wire_becomes_words(
    fake: FakeBfl, clock: SkippingClock, move: Move, code: str
) -> None:
    fake.script("/thing", move)
    api = once(fake.url, clock, SHORT if code == "api-timeout" else None)

    error = failed(api)

    assert error.code == code
    assert "127.0.0.1" in error.message
    assert error.hint
    api.close()


def test_a_connection_that_is_reset_before_the_request_is_read(fake: FakeBfl, clock: SkippingClock) -> None:
    fake.script("/thing", GOOD)
    fake.resets = 1
    api = once(fake.url, clock)

    assert failed(api).code in ("api-connection-lost", "api-unreachable")  # by when the reset arrives
    assert fake.requests == []
    api.close()


def test_nobody_at_the_port_an_unknown_name_and_a_port_without_tls(
    fake: FakeBfl, clock: SkippingClock
) -> None:
    for url, code in (
        (f"http://127.0.0.1:{free_port()}", "api-unreachable"),
        ("http://nobody.invalid", "api-name-unknown"),
        (fake.url.replace("http:", "https:"), "api-tls"),
    ):
        api = once(url, clock)
        assert failed(api).code == code
        api.close()


def test_a_host_that_never_answers_the_attempt_to_connect(clock: SkippingClock) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # they fill the queue of the listener, so that the next is not answered
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        limits = Limits(connect_s=0.2, read_s=0.2, total_s=0.5)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        api = APIService(url, clock=clock, limits=limits, retry=RetryPolicy(attempts=1))
        assert failed(api).code == "api-connect-timeout"
        api.close()
        for one in waiting:
            one.close()


LISTED = {"detail": [{"loc": ["body", "width"], "msg": "must be a multiple of 32", "type": "multiple_of"}]}
NAMED = {"error": "validation_error", "message": "Invalid", "details": {"width": "must be a multiple of 32"}}
BODIES: list[tuple[int, object, str, str]] = [
    (400, NAMED, "api-refused-input", "width: must be a multiple of 32"),
    (400, {"message": "Bad prompt."}, "api-refused-input", "Bad prompt"),
    (401, {"detail": "Not authenticated"}, "api-key-refused", "Not authenticated"),
    (402, {"detail": "insufficient_credits"}, "api-no-credits", "insufficient_credits"),
    (403, {"detail": "Not authorized"}, "api-forbidden", "Not authorized"),
    (404, {"detail": "Not Found"}, "api-no-such-endpoint", "Not Found"),
    (405, {"detail": "Method Not Allowed"}, "api-no-such-endpoint", "Method Not Allowed"),
    (409, {"error": "conflict", "message": "It still trains."}, "api-conflict", "It still trains"),
    (410, {"message": "Gone."}, "api-no-such-endpoint", "Gone"),
    (413, {}, "api-request-too-large", "too large"),
    (418, {"error": {"message": "I am a teapot."}}, "api-refused", "HTTP 418): I am a teapot"),
    (422, LISTED, "api-refused-input", "width: must be a multiple of 32"),
    (422, NAMED, "api-refused-input", "width: must be a multiple of 32"),
    (429, {"detail": "Too many", "retry_after": 900}, "api-busy", "as it takes: Too many"),
    (500, {"detail": "Oh"}, "api-failed", "HTTP 500): Oh"),
    (502, [], "api-unavailable", "HTTP 502"),
    (503, "down", "api-unavailable", "HTTP 503"),
    (504, {"detail": None}, "api-unavailable", "HTTP 504"),
]


@pytest.mark.parametrize(("status", "body", "code", "words"), BODIES)
def test_an_error_body_of_the_contract_becomes_words(
    fake: FakeBfl, clock: SkippingClock, status: int, body: object, code: str, words: str
) -> None:
    fake.script("/thing", says(status, body))
    api = once(fake.url, clock)

    error = failed(api)

    assert error.code == code
    assert words in error.message
    assert error.field == ("width" if "width" in words else None)
    api.close()


def test_advice_to_wait_long_is_told_and_not_waited_out(
    fake: FakeBfl, api: APIService, clock: SkippingClock
) -> None:
    fake.script("/thing", says(429, {"detail": "Too many", "retry_after": 900}))

    error = failed(api)

    assert "15 min" in error.hint
    assert len(fake.requests) == 1
    assert clock.waited_s == 0


def test_an_answer_that_repeats_the_key_does_not_spread_it(fake: FakeBfl, api: APIService) -> None:
    fake.script("/thing", says(401, {"detail": f"No such key: {KEY}"}))

    error = failed(api)

    assert KEY not in str(error)
    assert "No such key: ***" in error.message


# What is sent again.


@pytest.mark.parametrize(
    "move",
    [
        fake_bfl.resets,
        fake_bfl.cuts_off(b'{"id": "one two three"}'),
        fake_bfl.damaged_gzip,
        says(500, {}),
        says(503, {}),
        says(429, {}),
    ],
)
def test_a_read_is_repeated_with_growing_waits(
    fake: FakeBfl, api: APIService, clock: SkippingClock, move: Move
) -> None:
    fake.script("/thing", move, move, GOOD)

    assert api.get(Thing, "/thing").id == "one"
    assert len(fake.requests) == 3
    assert clock.slept == [0.5, 0.5, 0.5]  # half a second, then a whole one, in naps


def test_waits_are_spread_over_all_of_the_backoff() -> None:
    policy = RetryPolicy(first_s=1.0, most_s=8.0)
    spans: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        spans.append((low, high))
        return high

    for tried in range(1, 6):
        policy.wait_s(tried, uniform)
    assert spans == [(0.0, 1.0), (0.0, 2.0), (0.0, 4.0), (0.0, 8.0), (0.0, 8.0)]


LOST = [*WIRE_FAULTS, *((says(status, {}), "api-failed") for status in (500, 502, 503, 504))]


@pytest.mark.parametrize(("move", "code"), LOST)
def test_a_paid_request_whose_answer_is_lost_is_sent_once_and_called_unsure(
    fake: FakeBfl, clock: SkippingClock, move: Move, code: str
) -> None:
    fake.script("/thing", move)
    api = APIService(fake.url, KEY, clock=clock, limits=SHORT if code == "api-timeout" else None)

    error = failed_post(api)

    assert error.unsure
    assert len(fake.requests) == 1
    api.close()


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422])
def test_a_paid_request_that_is_refused_is_sent_once_and_is_sure(
    fake: FakeBfl, api: APIService, status: int
) -> None:
    fake.script("/thing", says(status, {"detail": "no"}))

    error = failed_post(api)

    assert not error.unsure
    assert len(fake.requests) == 1


def test_a_paid_request_that_was_never_taken_is_sent_again(
    fake: FakeBfl, api: APIService, clock: SkippingClock
) -> None:
    fake.script("/thing", says(429, {"detail": "24 active tasks"}, {"retry-after": "3"}), GOOD)

    assert api.post(Thing, "/thing", {"prompt": "a cup"}).id == "one"
    assert [request.json for request in fake.requests] == [{"prompt": "a cup"}] * 2
    assert clock.waited_s == 3


def test_a_paid_request_to_a_closed_port_is_sent_when_somebody_listens() -> None:
    port = free_port()

    class Opening(SkippingClock):
        """Somebody begins to listen while we wait."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if not servers:
                servers.append(server_at(port))

    servers: list[FakeBfl] = []
    api = APIService(f"http://127.0.0.1:{port}", clock=Opening(), uniform=lambda low, high: high)

    assert api.post(Thing, "/thing", {}).id == "one"
    api.close()
    servers[0].close()


def server_at(port: int) -> FakeBfl:
    server = FakeBfl(port)
    server.script("/thing", GOOD)
    return server


@pytest.mark.parametrize(
    ("busy", "waited_s"),
    [
        (says(429, {}, {"retry-after": "2"}), 2),
        (says(429, {"retry_after": 2.5}), 2.5),
        (says(429, {"retry_after": "4"}), 4),
        (says(503, {}, {"retry-after": "2"}), 2),
        (fake_bfl.dated(429, timedelta(0), 7), 7),
        (fake_bfl.dated(429, timedelta(hours=1), 7), 7),
        (fake_bfl.dated(429, timedelta(hours=-1), 7), 7),
        (says(429, {}, {"retry-after": "soon"}), 0.5),
    ],
)
def test_the_wait_is_what_the_service_advises_even_if_its_clock_is_an_hour_off(
    fake: FakeBfl, api: APIService, clock: SkippingClock, busy: Move, waited_s: float
) -> None:
    fake.script("/thing", busy, GOOD)

    api.get(Thing, "/thing")

    assert clock.waited_s == pytest.approx(waited_s)


def test_a_wait_ends_when_it_is_cancelled(fake: FakeBfl, api: APIService, clock: SkippingClock) -> None:
    fake.script("/thing", says(429, {}, {"retry-after": "60"}))

    def check() -> None:
        if clock.waited_s > 2:
            raise Cancelled()

    with pytest.raises(Cancelled):
        api.get(Thing, "/thing", check=check)
    assert clock.waited_s < 4


# The circuit.


def test_a_host_that_is_down_is_left_alone_and_asked_again_later(
    fake: FakeBfl, api: APIService, clock: SkippingClock
) -> None:
    fake.script("/thing", says(503, {}))
    assert failed(api).code == "api-unavailable"
    asked = len(fake.requests)

    error = failed(api)

    assert error.code == "api-host-down"
    assert "asked again in 30 s" in error.message
    assert len(fake.requests) == asked == 5
    clock.sleep(31)
    fake.script("/thing", GOOD)
    assert api.get(Thing, "/thing").id == "one"


def test_a_paid_request_to_a_host_that_is_down_is_not_sent_and_is_sure(
    fake: FakeBfl, api: APIService
) -> None:
    fake.script("/thing", says(503, {}))
    failed(api)
    fake.requests.clear()

    error = failed_post(api)

    assert (error.code, error.unsure) == ("api-host-down", False)
    assert fake.requests == []


def test_a_host_that_refuses_is_not_down(fake: FakeBfl, api: APIService) -> None:
    fake.script("/thing", says(422, LISTED))
    assert {failed(api).code for _ in range(8)} == {"api-refused-input"}


# Who sees the key.


def keys(requests: list[Seen]) -> list[str | None]:
    return [request.headers.get("x-key") for request in requests]


def test_the_key_goes_to_the_host_that_is_set_and_not_along_a_redirect(
    fake: FakeBfl, api: APIService
) -> None:
    other = FakeBfl()
    other.script("/there", GOOD)
    fake.script("/thing", fake_bfl.redirects(f"{other.url}/there"))

    assert api.get(Thing, "/thing").id == "one"

    assert keys(fake.requests) == [KEY]
    assert keys(other.requests) == [None]
    other.close()


@pytest.mark.parametrize(
    ("base", "url", "shown"),
    [
        ("https://api.bfl.ai", "https://api.bfl.ai/v1/get_result", True),
        ("https://api.bfl.ai", "https://api.eu2.bfl.ai/v1/get_result", True),
        ("https://api.bfl.ai", "http://api.eu2.bfl.ai/v1/get_result", False),
        ("https://api.bfl.ai", "https://api.bfl.ai.example.org/", False),
        ("https://api.bfl.ai", "https://notbfl.ai/", False),
        ("https://api.bfl.ai", "https://api.bfl.ai:8443/", True),
        ("http://127.0.0.1:7860", "http://127.0.0.1:7860/v1/get_result", True),
        ("http://127.0.0.1:7860", "http://127.0.0.1:7861/v1/get_result", False),
        ("http://127.0.0.1:7860", "https://api.bfl.ai/", False),
    ],
)
def test_only_hosts_of_the_same_house_see_the_key(base: str, url: str, shown: bool) -> None:
    api = APIService(base, KEY, family=("bfl.ai",))
    assert api.may_show_key(httpx.URL(url)) is shown
    api.close()


def test_an_answer_does_not_lead_from_tls_to_plain_text(fake: FakeBfl) -> None:
    api = APIService("https://api.bfl.ai", KEY)
    with pytest.raises(APIError) as caught:
        api.get(Thing, f"{fake.url}/thing")
    assert caught.value.code == "api-answer-unknown"
    assert fake.requests == []
    api.close()


def test_the_key_does_not_come_back_when_a_redirect_returns(fake: FakeBfl, api: APIService) -> None:
    other = FakeBfl()
    other.script("/there", fake_bfl.redirects(f"{fake.url}/home"))
    fake.script("/thing", fake_bfl.redirects(f"{other.url}/there"))
    fake.script("/home", GOOD)

    api.get(Thing, "/thing")

    assert keys(fake.seen("/home")) == [None]
    other.close()


def test_a_paid_request_is_never_redirected(fake: FakeBfl, api: APIService) -> None:
    other = FakeBfl()
    fake.script("/thing", fake_bfl.redirects(f"{other.url}/there"))

    error = failed_post(api)

    assert (error.code, error.unsure) == ("api-redirected", False)
    assert other.requests == []
    other.close()


def test_a_redirect_in_a_circle_ends(fake: FakeBfl, api: APIService) -> None:
    fake.script("/thing", fake_bfl.redirects("/thing"))
    assert failed(api).code == "api-redirected"
    assert len(fake.requests) <= 6


def test_a_file_is_fetched_without_the_key_and_up_to_a_limit(fake: FakeBfl, api: APIService) -> None:
    fake.script("/file", fake_bfl.sends(b"x" * 1000, "image/png"))

    assert api.download(f"{fake.url}/file", limit_bytes=1000, total_s=5) == b"x" * 1000
    with pytest.raises(APIError) as caught:
        api.download(f"{fake.url}/file", limit_bytes=999, total_s=5)

    assert caught.value.code == "api-answer-too-large"
    assert keys(fake.requests) == [None, None]


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "http://[::"])
def test_an_address_in_an_answer_that_is_none_is_refused(api: APIService, address: str) -> None:
    with pytest.raises(APIError) as caught:
        api.download(address, limit_bytes=1, total_s=1)
    assert caught.value.code == "api-answer-unknown"


def test_connections_are_used_again(fake: FakeBfl, api: APIService) -> None:
    fake.script("/thing", GOOD)
    for _ in range(5):
        api.get(Thing, "/thing")
    assert fake.connections == 1
