"""The table from errors to HTTP answers: every answer of 400 and above is made here, always an object.

BFL's clients read `detail` (a list where fields are at fault) or `message`; ours read `error` and `hint`.
Statuses are the error kinds' own; nothing here decides what is an error.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Scope

from fluxsmith.contract.answers import ErrorResponse, InvalidField
from fluxsmith.core.validation import explain
from fluxsmith.errors import CapacityError, FluxsmithError, TaskLimitError, ValidationError

RETRY_AFTER_S = 5  # a picture takes about this long
MOST_SENTENCES = 5

_HTTP_WORDS: dict[int, tuple[str, str, str]] = {
    400: ("bad-request", "The request could not be read.", "Send JSON as UTF-8 text."),
    403: ("foreign-page", "A web page of another site may not send this.", ""),
    404: ("no-such-endpoint", "There is nothing at this address.", "/docs lists what there is."),
    405: ("method-not-allowed", "This address does not take that method.", "/docs lists what there is."),
    413: ("body-too-large", "The request is too large.", "Send fewer or smaller pictures."),
}
INTERNAL = ("internal-error", "Something failed inside fluxsmith.")


def install_error_handlers(app: FastAPI) -> None:
    """Let `app` answer its errors from this table; unexpected ones are the outermost middleware's."""
    app.add_exception_handler(FluxsmithError, _on_ours)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


def request_id(scope: Scope) -> str:
    """The id of the request, as on its log lines."""
    return str(scope.get("state", {}).get("request_id", ""))


def answer(error: FluxsmithError, scope: Scope) -> JSONResponse:
    """The answer for one of our errors."""
    detail: list[InvalidField] | str = error.message
    if isinstance(error, ValidationError):
        place: list[str | int] = ["body", *error.field.split(".")] if error.field else ["body"]
        detail = [InvalidField(loc=place, msg=error.message, type=error.code)]
    wait_s = RETRY_AFTER_S if isinstance(error, CapacityError) else None
    headers = rate_headers(error.active, error.limit) if isinstance(error, TaskLimitError) else None
    return _render(
        error.status, error.code, error.message, error.hint, detail, scope, wait_s=wait_s, headers=headers
    )


def rate_headers(active: int, limit: int) -> dict[str, str]:
    """BFL's three headers: tasks that may be active, how many more may, and the second to try (again)."""
    wait_s = 0 if active < limit else RETRY_AFTER_S
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(max(0, limit - active)),
        "x-ratelimit-reset": str(int(time.time()) + wait_s),
    }


def http_answer(
    status: int, scope: Scope, *, message: str = "", hint: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer for a bare status, as the framework raises it."""
    code, words, advice = _HTTP_WORDS.get(status, (f"http-{status}", "The request was refused.", ""))
    message = message or words
    return _render(status, code, message, hint or advice, message, scope, headers=headers)


def internal_answer(scope: Scope) -> JSONResponse:
    """The answer for an error that nobody expected: no details, but the id under which the log has them."""
    code, message = INTERNAL
    hint = f"The server's log has the details under {request_id(scope)}."
    return _render(500, code, message, hint, message, scope)


async def _on_ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FluxsmithError)
    return answer(error, request.scope)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return http_answer(error.status_code, request.scope, headers=error.headers)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = explain(error.errors())
    detail = [
        InvalidField(loc=list(problem.location), msg=problem.message, type=problem.kind)
        for problem in problems
    ]
    message = _sentences([problem.message for problem in problems])
    whole_body = any(problem.location == ("body",) for problem in problems)
    hint = "Send a JSON object with Content-Type: application/json." if whole_body else ""
    return _render(422, "invalid-input", message, hint, detail, request.scope)


def _sentences(messages: Sequence[str]) -> str:
    shown = list(messages[:MOST_SENTENCES])
    if len(messages) > MOST_SENTENCES:
        shown.append(f"{len(messages) - MOST_SENTENCES} more problems follow.")
    return " ".join(shown)


def _render(
    status: int,
    code: str,
    message: str,
    hint: str,
    detail: list[InvalidField] | str,
    scope: Scope,
    *,
    wait_s: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = ErrorResponse(
        error=code,
        message=message,
        hint=hint,
        detail=detail,
        request_id=request_id(scope),
        retry_after=wait_s,
    )
    more = {"retry-after": str(wait_s)} if wait_s is not None else {}
    skipped = {"retry_after"} if wait_s is None else set()
    return JSONResponse(
        body.model_dump(mode="json", exclude=skipped),
        status_code=status,
        headers={**(headers or {}), **more},
    )
