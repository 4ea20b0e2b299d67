"""The one table of what can go wrong with a remote service: its code, words, hint, and whether to repeat.

`APIService` and the providers raise from it and decide nothing themselves; `docs/reference/errors.md` is
printed from it. Which faults occur on the wire: BFL's API reference and guides, §6 of the contract.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Literal

import httpcore
import httpx

from fluxsmith.errors import APIError

Repeated = Literal["always", "reads", "never"]
"""What is sent again by itself: anything (nothing was carried out), only what changes nothing, or nothing."""


@dataclass(frozen=True)
class Service:
    """How people set up a remote service: the settings that hints name."""

    address: str
    key: str


BFL = Service("FLUXSMITH_BFL_BASE_URL", "FLUXSMITH_BFL_API_KEY (or BFL_API_KEY)")
FAL = Service("FLUXSMITH_FAL_BASE_URL", "FLUXSMITH_FAL_KEY (or FAL_KEY)")


@dataclass(frozen=True)
class Fault:
    """One kind of failure.

    Args:
        code: stable, for programs.
        when: what has happened, for the reference.
        message: for people; may name `{host}`, `{status}`, `{said}` (what the answer says, or nothing),
            `{wait}`, `{limit}` and `{task}`.
        hint: the next thing to do; may also name `{address}` and `{key}`, settings of the service.
        repeated: see `Repeated`.
        unsure: whether a request that changes something may have been carried out all the same.
    """

    code: str
    when: str
    message: str
    hint: str
    repeated: Repeated = "never"
    unsure: bool = False


_WAIT = "Try again in a few minutes."
_DASHBOARD = "Look at the usage page of that service's dashboard before you send it again."
_FETCH = "The training was paid for: look for its file in that service's dashboard, under the task's id."
LOCAL_PATH = (
    "Train here instead (`fluxsmith finetune`, with nano or a klein folder as base). To draw with a LoRA at "
    "BFL, train it on FLUX.2 [klein] Base and follow `fluxsmith models publish`, or Publish on the page of "
    "models: upload the file in BFL's dashboard under Customization → Finetunes, and link its id here."
)

FAULTS: tuple[Fault, ...] = (
    # The connection.
    Fault(
        "api-unreachable",
        "the connection is refused, or there is no way to the host",
        "{host} cannot be reached: nothing answers there{said}.",
        "Check the address ({address}) and this machine's network.",
        "always",
    ),
    Fault(
        "api-name-unknown",
        "the host's name is not known (DNS)",
        "There is no host named {host}, or names cannot be looked up now.",
        "Check {address} for a typing error, and this machine's DNS.",
        "always",
    ),
    Fault(
        "api-tls",
        "the host's certificate is not trusted, or TLS fails otherwise",
        "{host} cannot be trusted: the secure connection failed{said}.",
        "Check the address and this machine's clock. A proxy that opens TLS needs its certificate installed.",
    ),
    Fault(
        "api-connect-timeout",
        "nothing answers to the attempt to connect",
        "{host} does not answer to the attempt to connect.",
        _WAIT,
        "always",
    ),
    Fault(
        "api-connection-lost",
        "the connection breaks before the answer has come",
        "{host} broke the connection before it answered.",
        _WAIT,
        "reads",
        unsure=True,
    ),
    Fault(
        "api-timeout",
        "the answer takes too long: slow headers, a byte a second, or a stall in the middle",
        "{host} took too long to answer.",
        _WAIT,
        "reads",
        unsure=True,
    ),
    Fault(
        "api-host-down",
        "the host has failed several times in a row; it is left alone for a while",
        "{host} is down: it failed several times in a row. It is asked again in {wait}.",
        "Wait, or look at the service's status page. Work on this machine goes on meanwhile.",
    ),
    # The answer's form.
    Fault(
        "api-answer-truncated",
        "the answer ends too early, or is not as long as it says",
        "The answer of {host} was cut off.",
        _WAIT,
        "reads",
        unsure=True,
    ),
    Fault(
        "api-answer-damaged",
        "the answer cannot be unpacked (gzip)",
        "The answer of {host} is damaged: it cannot be unpacked.",
        "Try again; if it stays so, a proxy in between is at fault.",
        "reads",
        unsure=True,
    ),
    Fault(
        "api-answer-too-large",
        "the answer is larger than anything expected",
        "The answer of {host} is larger than {limit}, so it was not read.",
        "Check that {address} is the address of an API.",
        unsure=True,
    ),
    Fault(
        "api-not-json",
        "the answer is a web page or other text instead of JSON",
        "{host} answered with something else than JSON, perhaps a web page.",
        "Check that {address} is the address of an API, and that no login page is in between.",
        unsure=True,
    ),
    Fault(
        "api-answer-unknown",
        "the answer is JSON of another shape than the contract's",
        "{host} answered in a form that fluxsmith does not know{said}.",
        "Update fluxsmith, or check that {address} is the address of such an API.",
        unsure=True,
    ),
    Fault(
        "api-redirected",
        "a request that must not be repeated is sent elsewhere, or a redirect leads nowhere",
        "{host} sends the request on to another address, which is not followed{said}.",
        "Set {address} to the address that it sends to, if you trust it.",
    ),
    # The answer's status.
    Fault(
        "api-refused-input",
        "HTTP 400 or 422: a field is wrong, in either shape",
        "{host} refused the request{said}.",
        "Change what it names, and send it again.",
    ),
    Fault(
        "api-key-refused",
        "HTTP 401: the key is missing or wrong",
        "{host} refused the key{said}.",
        "Check {key} against the service's dashboard.",
    ),
    Fault(
        "api-no-credits",
        "HTTP 402, or 403 with an exhausted balance: no credits are left",
        "There are no credits left at {host}{said}.",
        "Add credits in the service's dashboard. Models on this machine cost nothing.",
    ),
    Fault(
        "api-forbidden",
        "HTTP 403: the key may not do this",
        "The key may not do this at {host}{said}.",
        "Use a key with that right, or another model.",
    ),
    Fault(
        "api-no-such-endpoint",
        "HTTP 404, 405 or 410: there is nothing at this address",
        "{host} does not offer this{said}.",
        "Choose another model, or check {address}.",
    ),
    Fault(
        "api-conflict",
        "HTTP 409: the thing is in another state, such as a finetune that still trains",
        "{host} cannot do this now{said}.",
        "Wait until what it names is ready.",
    ),
    Fault(
        "api-request-too-large",
        "HTTP 413: the request is too large",
        "The request is too large for {host}{said}.",
        "Send fewer or smaller pictures.",
    ),
    Fault(
        "api-busy",
        "HTTP 429: too many tasks at once; waited out as advised, in the header or the body",
        "{host} is busy with as many of your tasks as it takes{said}.",
        "Try again in {wait}.",
        "always",
    ),
    Fault(
        "api-refused",
        "any other HTTP status of 400 to 499",
        "{host} refused the request (HTTP {status}){said}.",
        "Check the request and the address.",
    ),
    Fault(
        "api-failed",
        "HTTP 500, or any other of 500 and above",
        "{host} failed by itself (HTTP {status}){said}.",
        _WAIT,
        "reads",
        unsure=True,
    ),
    Fault(
        "api-unavailable",
        "HTTP 502, 503 or 504: the service is down or overloaded",
        "{host} is not available now (HTTP {status}){said}.",
        _WAIT,
        "reads",
        unsure=True,
    ),
    # The task.
    Fault(
        "task-request-moderated",
        "a task ends as `Request Moderated`",
        "{host} refused the prompt or an input picture by its content rules{said}.",
        "Change the prompt or the pictures. Models on this machine have other rules.",
    ),
    Fault(
        "task-content-moderated",
        "a task ends as `Content Moderated`",
        "{host} drew the picture and withheld it by its content rules{said}.",
        "Change the prompt or the seed.",
    ),
    Fault(
        "task-failed",
        "a task ends as `Error`",
        "{host} could not carry out the task{said}.",
        "Change what it names, or try again.",
    ),
    Fault(
        "task-lost",
        "a task that was accepted is no longer known there",
        "{host} no longer knows the task {task}.",
        f"Its result is gone, or expired before it was fetched. {_DASHBOARD}",
    ),
    Fault(
        "task-stuck",
        "a task never ends, or cannot be asked about any more",
        "The task {task} has not moved at {host} for {wait}.",
        f"It was not sent again, since it may still be charged. {_DASHBOARD}",
    ),
    Fault(
        "task-without-result",
        "a task is `Ready`, but its result is missing",
        "{host} calls the task {task} ready, but sends no result.",
        f"Try again. {_DASHBOARD}",
    ),
    Fault(
        "task-result-expired",
        "the picture's address has expired, also after asking for a new one",
        "The picture of task {task} can no longer be fetched from {host}: its address has expired.",
        "Draw it again with the same seed; results are kept there for about ten minutes.",
    ),
    Fault(
        "task-result-not-a-picture",
        "what lies at the picture's address is not a whole picture",
        "What {host} sent as the picture of task {task} is not a picture that can be read.",
        "Draw it again with the same seed.",
    ),
    Fault(
        "task-lora-unreadable",
        "what lies at a LoRA's address is not a whole LoRA in safetensors",
        "What {host} sent as the LoRA of task {task} was not kept: it is not a LoRA in safetensors{said}.",
        f"Other formats can run code when loaded. {_FETCH}",
    ),
    Fault(
        "task-lora-too-large",
        "a LoRA is larger than any that can be expected",
        "The LoRA of task {task} at {host} is larger than {limit}, so it was not fetched.",
        _FETCH,
    ),
    Fault(
        "task-maybe-charged",
        "a paid request was sent, and its answer was lost",
        "A request was sent to {host}, but its answer was lost{said}. It may have been charged.",
        f"It was not sent again. {_DASHBOARD}",
        unsure=True,
    ),
    Fault(
        "finetuning-retired",
        "a finetune is sent to BFL's cloud, which takes none any more",
        "{host} takes no finetunes: BFL ended finetuning over its API on 31 October 2025{said}.",
        LOCAL_PATH,
    ),
)

HOST_IS_DOWN = frozenset(
    {
        "api-unreachable",
        "api-name-unknown",
        "api-connect-timeout",
        "api-connection-lost",
        "api-timeout",
        "api-unavailable",
    }
)
"""Faults that, several times in a row, mean that the host is down."""

_BY_CODE = {fault.code: fault for fault in FAULTS}
_BY_STATUS = {
    400: "api-refused-input",
    401: "api-key-refused",
    402: "api-no-credits",
    403: "api-forbidden",
    404: "api-no-such-endpoint",
    405: "api-no-such-endpoint",
    409: "api-conflict",
    410: "api-no-such-endpoint",
    413: "api-request-too-large",
    422: "api-refused-input",
    429: "api-busy",
    502: "api-unavailable",
    503: "api-unavailable",
    504: "api-unavailable",
}


def fault(code: str) -> Fault:
    """The row of that code."""
    return _BY_CODE[code]


def of_status(status: int, said: str = "") -> Fault:
    """The row for an HTTP status that is not a success, and for what the answer says."""
    if status < 400:
        return fault("api-redirected")
    if status == 403 and "balance" in said.lower():
        return fault("api-no-credits")
    return fault(_BY_STATUS.get(status, "api-failed" if status >= 500 else "api-refused"))


def of_exception(error: Exception) -> Fault:
    """The row for what the HTTP library raised."""
    cause = error.__cause__ or error.__context__
    match error:
        case httpcore.ConnectError() if isinstance(cause, socket.gaierror):
            code = "api-name-unknown"
        case httpcore.ConnectError() if isinstance(cause, ssl.SSLError):
            code = "api-tls"
        case httpcore.ConnectError():
            code = "api-unreachable"
        case httpcore.ConnectTimeout() | httpcore.PoolTimeout():
            code = "api-connect-timeout"
        case httpcore.TimeoutException():
            code = "api-timeout"
        case httpx.DecodingError():
            code = "api-answer-damaged"
        case httpcore.RemoteProtocolError() if "complete" in str(error):
            code = "api-answer-truncated"
        case httpcore.RemoteProtocolError() if "disconnected" not in str(error):
            code = "api-not-json"
        case _:
            code = "api-connection-lost"
    return fault(code)


def failure(
    row: Fault,
    host: str,
    *,
    status: int | None = None,
    said: str = "",
    wait_s: float | None = None,
    limit_bytes: int = 0,
    task: str = "",
    field: str | None = None,
    service: Service = BFL,
) -> APIError:
    """The error of a row, with its words filled in."""
    words = {
        "host": host,
        "status": status,
        "said": f": {said.rstrip('.')}" if said else "",
        "wait": _duration(wait_s),
        "limit": f"{limit_bytes / 1_000_000:.0f} MB",
        "task": task,
        "address": service.address,
        "key": service.key,
    }
    return APIError(
        row.code,
        row.message.format(**words),
        hint=row.hint.format(**words),
        field=field,
        unsure=row.unsure,
        passing=row.repeated != "never" or row.code == "api-host-down",
        wait_s=wait_s,
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "a minute"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{round(seconds / 3600)} h"
