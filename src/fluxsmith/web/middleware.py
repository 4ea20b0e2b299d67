"""What every request passes: its id and log line, whose name it uses for us, and how large it may be.

Plain ASGI, so that streams pass untouched. Accounts are not here: on loopback there are none.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxsmith.config.settings import Settings
from fluxsmith.core.logging import bind_context, get_logger
from fluxsmith.web.errors import http_answer, internal_answer

REQUEST_ID_HEADER = "x-request-id"
LONGEST_LOGGED_PATH = 200
DRAIN_S = 10.0  # a client that still sends would otherwise miss the answer

_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINK_TOKEN = re.compile(r"^(.*/files/)[^/]+")  # who has the link has the picture: keep it out of logs
_HEALTH = frozenset({"/healthz", "/readyz", "/metrics"})
_LORA_IMPORT = "/api/models"
_PAGE_UPLOAD = "/gradio_api/upload"
_PAGE_EVENTS = "/gradio_api/"  # of the studio: one a second while something runs
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_log = get_logger("fluxsmith.access")


class RequestContext:
    """Gives each request an id, logs its end, and turns what nobody caught into a plain 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        identity = given if _USABLE_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = identity
        began, status = time.monotonic(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = identity
            await send(message)

        with bind_context(request_id=identity):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:  # the edge of the process: the client gets an id, the log the rest
                _log.exception("A request failed.", method=scope["method"], path=_shown_path(scope))
                if status:
                    raise
                await internal_answer(scope)(scope, receive, send_with_id)
            _log_end(scope, status, time.monotonic() - began)


class KnownHosts:
    """Refuses requests under names that are not ours, and writes that foreign web pages send.

    Without this any web page could reach a studio on loopback by a name of its own (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._names = {"localhost", "127.0.0.1", "::1", settings.host}
        if settings.public_url:
            self._names.add(urlsplit(settings.public_url).hostname or "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not self._is_ours("//" + headers.get("host", "")):
            refusal = http_answer(
                400,
                scope,
                message="This server is not reached under that name.",
                hint="Set FLUXSMITH_PUBLIC_URL to the address under which it is reached.",
            )
        elif origin is not None and scope["method"] not in _SAFE_METHODS and not self._is_ours(origin):
            refusal = http_answer(
                403,
                scope,
                hint="Set FLUXSMITH_PUBLIC_URL if the page is this studio's own, behind a proxy.",
            )
        else:
            await self._app(scope, receive, send)
            return
        await refusal(scope, receive, send)

    def _is_ours(self, address: str) -> bool:
        try:
            name = urlsplit(address).hostname or ""
        except ValueError:
            return False
        return name in self._names or name.endswith(".localhost")


@dataclass(frozen=True)
class _Limit:
    """How large a body may be, in MB, and what to do if it is larger."""

    mb: int
    hint: str


class BodyLimit:
    """Refuses bodies above a size, by their declared length or while they come in.

    LoRA files may be larger than anything else; the studio's uploads may be one.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._usual = _Limit(
            settings.max_upload_mb, "Send fewer or smaller pictures, or raise FLUXSMITH_MAX_UPLOAD_MB."
        )
        lora = _Limit(
            settings.max_lora_mb,
            "Export the LoRA at a lower rank or precision, or raise FLUXSMITH_MAX_LORA_MB.",
        )
        self._others = {_LORA_IMPORT: lora, _PAGE_UPLOAD: max(self._usual, lora, key=lambda one: one.mb)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._others.get(scope["path"], self._usual)
        limit_bytes = limit.mb * 1_000_000
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > limit_bytes:
            await self._refuse(limit, scope, receive, send, more="expect" not in Headers(scope=scope))
            return
        received, more, started, exceeded = 0, True, False, False

        async def counted() -> Message:
            nonlocal received, more, exceeded
            message = await receive()
            received += len(message.get("body", b""))
            more = message.get("more_body", False)
            if received > limit_bytes:
                exceeded = True
                raise HTTPException(413)
            return message

        async def send_unless_exceeded(message: Message) -> None:
            nonlocal started
            if exceeded and not started:
                return  # whatever the application makes of it, the answer is ours
            started = True
            await send(message)

        try:
            await self._app(scope, counted, send_unless_exceeded)
        except HTTPException:
            if not exceeded or started:
                raise
        if exceeded and not started:
            await self._refuse(limit, scope, receive, send, more=more)

    async def _refuse(self, limit: _Limit, scope: Scope, receive: Receive, send: Send, *, more: bool) -> None:
        refusal = http_answer(
            413,
            scope,
            message=f"The request is larger than {limit.mb} MB.",
            hint=limit.hint,
            headers={"connection": "close"},
        )
        await send(
            {"type": "http.response.start", "status": refusal.status_code, "headers": refusal.raw_headers}
        )
        await send({"type": "http.response.body", "body": bytes(refusal.body), "more_body": True})
        if more:  # the client still sends, or will
            await _drain(receive)
        await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Receive) -> None:
    """Read and forget what a client still sends, for a while."""
    try:
        async with asyncio.timeout(DRAIN_S):
            while (message := await receive()).get("more_body"):
                del message
    except TimeoutError:
        return


def _shown_path(scope: Scope) -> str:
    path = _LINK_TOKEN.sub(r"\1…", scope["path"])
    return quote(path, safe="/…")[:LONGEST_LOGGED_PATH]


def _log_end(scope: Scope, status: int, seconds: float) -> None:
    # Pages, polls and health checks: many, and nothing to see.
    harmless = scope["method"] in _SAFE_METHODS or scope["path"].startswith(_PAGE_EVENTS)
    quiet = scope["path"] in _HEALTH or (harmless and status < 400)
    write = _log.debug if quiet else _log.info
    write(
        "Answered.",
        method=scope["method"],
        path=_shown_path(scope),
        status=status,
        ms=round(seconds * 1000, 1),
    )
