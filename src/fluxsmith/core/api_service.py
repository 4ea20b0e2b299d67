"""`APIService`: the one way out of the house over HTTP.

    get         asks for JSON; repeated when that may help, since it changes nothing
    get_stable  the same for what seldom changes, from the cache while it is fresh
    post        asks for something to be done, and paid for: sent again only if nothing can have been done
    put         asks for what may be asked twice, such as to stop something
    upload      sends a file to an address that an answer named, without the key
    download    fetches a file without the key; `save` the same, to the disk

Every failure is an `APIError` from the table in `api_faults`. The key goes to the host that is set and to
hosts of the same house, never along a redirect to another. Providers build on this; nothing else sends.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpcore
import httpx
import pydantic
from pydantic import BaseModel
from pydantic_core import from_json

from fluxsmith import __version__
from fluxsmith.core import api_faults
from fluxsmith.core.api_cache import AnswerCache, NoCache, hash_of
from fluxsmith.core.api_faults import BFL, HOST_IS_DOWN, Fault, Service, fault
from fluxsmith.core.api_retry import Circuit, RetryPolicy, advised_wait_s
from fluxsmith.core.api_transport import DeadlineTransport, deadline, read_at_most
from fluxsmith.core.api_words import read_words
from fluxsmith.core.clock import Clock
from fluxsmith.core.logging import get_logger
from fluxsmith.errors import APIError

Schema = TypeVar("Schema", bound=BaseModel)
Check = Callable[[], None]
"""Called often while waiting; raises to stop it, such as `Cancelled`."""
Guard = Callable[[httpx.URL], None]
"""Called with each address before it is asked, also after a redirect; raises to refuse it."""

MOST_REDIRECTS = 5
NAP_S = 0.5  # waits are slept in pieces, so that a cancel is heard
_WIRE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpx.DecodingError,
    UnicodeError,  # a host's name that cannot be one
)
_log = get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """How long and how large one exchange may be."""

    connect_s: float = 10.0
    read_s: float = 30.0  # between two pieces of an answer
    total_s: float = 60.0  # of one exchange in all
    answer_bytes: int = 2_000_000  # the largest JSON of the contract has a few kilobytes


@dataclass(frozen=True)
class Answer:
    """A whole answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class KeyHeader:
    """How a service wants its key: the header, and what stands in it before the key."""

    name: str = "x-key"
    before: str = ""


@dataclass(frozen=True)
class _Call:
    method: str
    url: httpx.URL
    limits: Limits
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    keyed: bool = True
    repeatable: bool = True
    into: Path | None = None
    guard: Guard | None = None

    @property
    def host(self) -> str:
        return self.url.host


class APIService:
    """Talks to one remote service, from any thread.

    Args:
        base_url: where paths are asked for.
        key, key_header: the key, and how it is sent.
        service: whose settings the hints of errors name.
        family: domains whose hosts belong to the same house, and may see the key over https.
        clock, limits, retry, uniform: time, patience and chance; others in tests.
        cache: where `get_stable` keeps answers.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        family: tuple[str, ...] = (),
        clock: Clock | None = None,
        limits: Limits | None = None,
        retry: RetryPolicy | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
        cache: AnswerCache | None = None,
        key_header: KeyHeader | None = None,
        service: Service = BFL,
    ) -> None:
        self.base = httpx.URL(base_url.rstrip("/"))
        self.clock = clock or Clock()
        self._key = key
        self._key_header = key_header or KeyHeader()
        self._service = service
        self._family = family
        self._limits = limits or Limits()
        self._retry = retry or RetryPolicy()
        self._uniform = uniform
        self._cache = cache or NoCache()
        self._circuits: dict[str, Circuit] = {}
        self._lock = threading.Lock()
        self._http = httpx.Client(
            transport=DeadlineTransport(httpx.create_ssl_context()),
            headers={"user-agent": f"fluxsmith/{__version__}", "accept": "application/json, image/*;q=0.9"},
        )

    @property
    def host(self) -> str:
        """The host that is set, as messages name it."""
        return self.base.host

    def get(self, schema: type[Schema], where: str, *, check: Check | None = None) -> Schema:
        """Ask for JSON, at a path or at an address that an answer named.

        Raises:
            APIError: any row of the table.
        """
        call = _Call("GET", self._url(where), self._limits)
        return self._parsed(schema, self._repeat(call, check), call.host)

    def get_stable(self, schema: type[Schema], path: str, lifetime_s: float) -> Schema:
        """Ask for what seldom changes: from the cache while it is fresh, else with its validator.

        Raises:
            APIError: any row of the table.
        """
        name = f"{self.base}{path}#{hash_of(self._key)}"
        kept = self._cache.find(name)
        fresh_s = (kept.fresh_until - self.clock.now()).total_seconds() if kept is not None else 0.0
        if kept is not None and 0 < fresh_s <= lifetime_s:  # longer: our clock has been set back since
            return self._parsed(schema, kept.body, self.host)
        headers = {"if-none-match": kept.etag} if kept is not None and kept.etag else {}
        call = _Call("GET", self._url(path), self._limits, headers=headers)
        answer = self._repeat(call, None)
        unchanged = kept is not None and answer.status == 304
        body = kept.body if kept is not None and unchanged else answer.body
        parsed = self._parsed(schema, body, self.host)
        etag = answer.headers.get("etag") or (kept.etag if kept is not None and unchanged else None)
        self._cache.keep(name, body, etag, self.clock.now(), lifetime_s)
        return parsed

    def forget(self, path: str) -> None:
        """Drop cached answers of paths that begin with `path`, since we have changed what they tell."""
        self._cache.drop(f"{self.base}{path}")

    def post(
        self,
        schema: type[Schema],
        path: str,
        body: BaseModel | Mapping[str, object],
        *,
        total_s: float | None = None,
        check: Check | None = None,
    ) -> Schema:
        """Ask for something to be done. `unsure` errors mean that it may have been done.

        Raises:
            APIError: any row of the table.
        """
        model = body if isinstance(body, BaseModel) else _Body.model_validate(body)
        limits = replace(self._limits, total_s=total_s, read_s=total_s) if total_s else self._limits
        call = _Call(
            "POST",
            self._url(path),
            limits,
            content=model.model_dump_json(exclude_none=True).encode(),
            headers={"content-type": "application/json"},
            repeatable=False,
        )
        return self._parsed(schema, self._repeat(call, check), call.host)

    def put(self, schema: type[Schema], where: str, *, check: Check | None = None) -> Schema:
        """Ask for something that may be asked twice without harm.

        Raises:
            APIError: any row of the table.
        """
        call = _Call("PUT", self._url(where), self._limits, content=b"")
        return self._parsed(schema, self._repeat(call, check), call.host)

    def upload(
        self,
        url: str,
        data: bytes,
        content_type: str,
        *,
        total_s: float,
        check: Check | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Send a file to an address that an answer named.

        Raises:
            APIError: any row of the table.
        """
        limits = replace(self._limits, total_s=total_s, read_s=total_s)
        headers = {"content-type": content_type}
        call = _Call("PUT", self._url(url), limits, content=data, headers=headers, keyed=False, guard=guard)
        self._repeat(call, check)

    def download(
        self,
        url: str,
        *,
        limit_bytes: int,
        total_s: float,
        check: Check | None = None,
        guard: Guard | None = None,
    ) -> bytes:
        """A file at an address that an answer named.

        Raises:
            APIError: any row of the table.
        """
        limits = replace(self._limits, answer_bytes=limit_bytes, total_s=total_s)
        call = _Call("GET", self._url(url), limits, keyed=False, guard=guard)
        return self._repeat(call, check).body

    def save(
        self,
        url: str,
        path: Path,
        *,
        limit_bytes: int,
        total_s: float,
        check: Check | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Fetch a large file to the disk, piece by piece; what is there before is overwritten.

        Raises:
            APIError: any row of the table.
            OSError: the disk refuses.
        """
        limits = replace(self._limits, answer_bytes=limit_bytes, total_s=total_s)
        self._repeat(_Call("GET", self._url(url), limits, keyed=False, guard=guard, into=path), check)

    def may_show_key(self, url: httpx.URL) -> bool:
        """Whether a host may see the key: the one that is set, or one of its house, over https."""
        if _origin(url) == _origin(self.base):
            return True
        house = [domain for domain in self._family if _within(self.base.host, domain)]
        return bool(house) and url.scheme == "https" and any(_within(url.host, name) for name in self._family)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def wait(self, seconds: float, check: Check | None) -> None:
        """Wait, asking `check` every now and then."""
        while seconds > 0:
            if check is not None:
                check()
            nap_s = min(seconds, NAP_S)
            self.clock.sleep(nap_s)
            seconds -= nap_s

    def _url(self, where: str) -> httpx.URL:
        try:
            url = httpx.URL(where if "://" in where else f"{self.base}{where}")
        except httpx.InvalidURL as error:
            raise self._failure(
                fault("api-answer-unknown"), self.host, said="an address that is none"
            ) from error
        downgraded = url.scheme == "http" and self.base.scheme == "https"
        if url.scheme not in ("http", "https") or not url.host or downgraded:
            raise self._failure(
                fault("api-answer-unknown"), self.host, said=f"an address with {url.scheme or '?'}:"
            )
        return url

    def _repeat(self, call: _Call, check: Check | None) -> Answer:
        """Send a call until it succeeds, as often as that is safe and may help."""
        tried = 0
        while True:
            if check is not None:
                check()
            tried += 1
            answer: Answer | None = None
            try:
                answer = self._guarded(call)
                if answer.status < 300 or answer.status == 304:
                    return answer
                wait_s = self._advice(answer)
                row, error = self._error(call, answer, wait_s)
            except _Failed as failed:
                row, wait_s, error = failed.row, None, failed.error
            again = row.repeated == "always" or (row.repeated == "reads" and call.repeatable)
            patient = wait_s is None or wait_s <= self._retry.most_advised_s
            if not again or not patient or tried >= self._retry.attempts:
                raise error
            wait_s = self._retry.wait_s(tried, self._uniform) if wait_s is None else wait_s
            _log.info(
                "A call is made again.", host=call.host, code=row.code, tried=tried, wait_s=round(wait_s, 2)
            )
            self.wait(wait_s, check)

    def _guarded(self, call: _Call) -> Answer:
        """Send a call once, unless its host is down; note how that went."""
        with self._lock:
            circuit = self._circuits.setdefault(call.host, Circuit(self.clock))
        if rest_s := circuit.closed_for_s():
            row = fault("api-host-down")
            raise _Failed(row, self._failure(row, call.host, wait_s=rest_s))
        try:
            answer = self._exchange(call)
        except _Failed as failed:
            circuit.record(answered=failed.row.code not in HOST_IS_DOWN)
            raise
        circuit.record(
            answered=answer.status < 400 or api_faults.of_status(answer.status).code not in HOST_IS_DOWN
        )
        return answer

    def _exchange(self, call: _Call) -> Answer:
        """Send a call once, following redirects of reads."""
        keyed = call.keyed and self.may_show_key(call.url)
        for _ in range(MOST_REDIRECTS):
            if call.guard is not None:
                call.guard(call.url)
            answer = self._send(call, keyed)
            if call.method != "GET" or answer.status not in (301, 302, 303, 307, 308):
                return answer
            target = self._redirected(call, answer.headers.get("location", ""))
            keyed = keyed and _origin(target) == _origin(call.url)
            call = replace(call, url=target)
        return answer

    def _redirected(self, call: _Call, location: str) -> httpx.URL:
        try:
            target = call.url.join(location)
        except httpx.InvalidURL:
            target = httpx.URL()
        downgraded = call.url.scheme == "https" and target.scheme != "https"
        if not location or target.scheme not in ("http", "https") or downgraded:
            row = fault("api-redirected")
            raise _Failed(row, self._failure(row, call.host))
        return target

    def _send(self, call: _Call, keyed: bool) -> Answer:
        limits = call.limits
        key = {self._key_header.name: self._key_header.before + self._key} if keyed and self._key else {}
        headers = {**call.headers, **key}
        request = self._http.build_request(
            call.method,
            call.url,
            headers=headers,
            content=call.content,
            timeout=httpx.Timeout(limits.read_s, connect=limits.connect_s),
        )
        try:
            with deadline(self.clock.monotonic, limits.total_s):
                response = self._http.send(request, stream=True)
                try:
                    body = _body(response, limits.answer_bytes, call.into)
                finally:
                    response.close()
        except _WIRE_ERRORS as error:
            row = api_faults.of_exception(error)
            _log.info("A call failed.", host=call.host, code=row.code, cause=repr(error))
            raise _Failed(row, self._failure(row, call.host, said=_reason(error))) from error
        if body is None:
            row = fault("api-answer-too-large")
            raise _Failed(row, self._failure(row, call.host, limit_bytes=limits.answer_bytes))
        return Answer(response.status_code, response.headers, body)

    def _advice(self, answer: Answer) -> float | None:
        return advised_wait_s(answer.headers, _json(answer.body), self.clock.now())

    def _failure(self, row: Fault, host: str, **words: Any) -> APIError:
        return api_faults.failure(row, host, service=self._service, **words)

    def _error(self, call: _Call, answer: Answer, wait_s: float | None) -> tuple[Fault, APIError]:
        said = read_words(_json(answer.body))
        text = said.text.replace(self._key, "***") if self._key else said.text
        row = api_faults.of_status(answer.status, text)
        return row, self._failure(
            row, call.host, status=answer.status, said=text, wait_s=wait_s, field=said.field
        )

    def _parsed(self, schema: type[Schema], answer: Answer | bytes, host: str) -> Schema:
        body = answer.body if isinstance(answer, Answer) else answer
        try:
            return schema.model_validate_json(body)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            if first["type"] == "json_invalid":
                raise self._failure(fault("api-not-json"), host) from error
            place = ".".join(str(part) for part in first["loc"])
            said = f"{place}: {first['msg']}" if place else first["msg"]
            raise self._failure(fault("api-answer-unknown"), host, said=said) from error


class _Body(pydantic.RootModel[dict[str, object]]):
    """A request's body that has no schema of its own."""


class _Failed(Exception):
    """A row of the table, on its way from the socket to whoever decides whether to repeat."""

    def __init__(self, row: api_faults.Fault, error: APIError) -> None:
        super().__init__(row.code)
        self.row = row
        self.error = error


def _body(response: httpx.Response, limit_bytes: int, into: Path | None) -> bytes | None:
    """The body, None if it is larger than allowed, or nothing if it went to the disk."""
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        return None
    if into is None or not response.is_success:
        return read_at_most(response.iter_bytes(), limit_bytes)
    written = 0
    with into.open("wb") as file:
        for chunk in response.iter_bytes():
            written += len(chunk)
            if written > limit_bytes:
                return None
            file.write(chunk)
    return b""


def _json(body: bytes) -> object:
    try:
        found: object = from_json(body)
    except ValueError:
        return None
    return found


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _reason(error: Exception) -> str:
    """The system's own words, where they help: of a refused connection or a failed handshake."""
    cause = error.__cause__ or error.__context__
    return str(getattr(cause, "verify_message", "") or getattr(cause, "strerror", "") or "")
