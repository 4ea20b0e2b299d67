"""Words for a server that cannot be spoken to, from `core.api_faults`."""

from __future__ import annotations

import httpcore
import httpx

from fluxsmith.core.api_faults import Service, failure, of_exception
from fluxsmith.errors import APIError, ValidationError


def in_words(error: httpx.RequestError, url: str, service: Service) -> APIError:
    """The error for what the HTTP library raised.

    Args:
        url: what was asked for.
        service: what hints name as address and key.
    """
    cause: BaseException | None = error if isinstance(error, httpx.DecodingError) else error.__cause__
    row = of_exception(cause if isinstance(cause, Exception) else httpcore.NetworkError())
    return failure(row, httpx.URL(url).host, service=service)


def no_address(path: str) -> ValidationError:
    """The error for a path that cannot be part of an address."""
    return ValidationError("path-malformed", f"This cannot be asked for: {path[:100]!r}.", field="path")
