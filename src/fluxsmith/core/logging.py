"""Log lines: structlog for us, and the standard library's loggers led into the same lines.

`configure_logging` is called once by each process; lines go to standard error, for people or as JSON.
Every line carries what `bind_context` bound (request id, job id, user), no line carries a secret, and
none carries a picture. This is not for telling people of progress: that is what job events are for.
Source: structlog's documentation, "Rendering using structlog-based formatters within logging".
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

from fluxsmith.config.settings import Settings

LONGEST_TEXT = 2_000  # characters of one value; a base64 picture is longer
LONGEST_TRACEBACK = 20_000
DEEPEST = 4  # levels of nested values that are looked into
MASK = "***"
SHORTEST_SECRET = 6  # masking every occurrence of a shorter one would garble the log

_SECRET_NAME = re.compile(
    r"x[-_]key|api[-_]?key|authorization|password|passwd|secret|token$|cookie|fal[-_]key|signature",
    re.IGNORECASE,
)
_BASE64 = re.compile(r"(?:data:[\w/+.-]+;base64,)?[A-Za-z0-9+/_-]{256,}={0,2}")
_NOISY = {
    "alembic": logging.WARNING,
    "dbos": logging.WARNING,
    "httpx": logging.WARNING,
    "PIL": logging.INFO,
    "uvicorn.error": logging.WARNING,  # the server says itself when it is ready
}


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send all log lines of this process to standard error, as the settings say.

    Args:
        settings: level and format, and the secrets that must not appear.
        stream: where to write instead, for tests.
    """
    stream = stream or sys.stderr
    keep_out = _KeepOut(settings.secrets())
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                keep_out,
                *_rendering(settings.log_format, stream),
            ],
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _lead_into(handler, settings.log_level.upper())


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module; call it with a sentence and key-value pairs."""
    return structlog.stdlib.get_logger(name)


@contextmanager
def bind_context(
    *, request_id: str | None = None, job_id: str | None = None, user: str | None = None
) -> Iterator[None]:
    """Put these on every line that is logged inside the block, by this thread or task."""
    bound = {"request_id": request_id, "job_id": job_id, "user": user}
    with structlog.contextvars.bound_contextvars(**{key: value for key, value in bound.items() if value}):
        yield


class _KeepOut:
    """A processor that masks secrets and cuts what is too long to be read."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        known = sorted(
            {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}, key=len, reverse=True
        )
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(
        self, _logger: Any, _method: str, line: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        for key, value in line.items():
            longest = LONGEST_TRACEBACK if key == "exception" else LONGEST_TEXT
            line[key] = MASK if _SECRET_NAME.search(key) and value else self._clean(value, longest, 0)
        return line

    def _clean(self, value: Any, longest: int, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"
        if isinstance(value, dict) and depth < DEEPEST:
            return {
                str(key): MASK if _SECRET_NAME.search(str(key)) else self._clean(item, longest, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple | set) and depth < DEEPEST:
            return [self._clean(item, longest, depth + 1) for item in value]
        return self._clean_text(value if isinstance(value, str) else repr(value), longest)

    def _clean_text(self, text: str, longest: int) -> str:
        if self._known is not None:
            text = self._known.sub(MASK, text)
        if len(text) > 256:
            text = _BASE64.sub(lambda found: f"<{len(found.group())} characters of base64>", text)
        return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"


def _rendering(log_format: str, stream: TextIO) -> list[structlog.typing.Processor]:
    if log_format == "json":
        return [structlog.processors.JSONRenderer(default=str, ensure_ascii=False)]
    colors = stream.isatty()
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]


def _lead_into(handler: logging.Handler, level: str) -> None:
    """Make `handler` the only one of the process, and let all libraries' loggers pass lines up to it."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "dbos", "alembic", "sqlalchemy"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(True)
