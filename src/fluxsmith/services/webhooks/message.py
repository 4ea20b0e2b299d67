"""One notification on the wire: its body, its headers, its signature.

Source: BFL's API guide: `X-BFL-Signature: sha256=` and the hex HMAC-SHA256 of the raw body. The header with
the event's id is ours: the same for every attempt, so that receivers can tell a repetition.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fluxsmith import __version__


def body_of(notification: Mapping[str, Any], now: datetime) -> bytes:
    """The notification as JSON, with the time at which it is sent."""
    timestamp = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({**notification, "timestamp": timestamp}).encode()


def headers_of(body: bytes, event_id: str, secret: str | None) -> dict[str, str]:
    """The headers of a body."""
    headers = {
        "content-type": "application/json",
        "user-agent": f"fluxsmith/{__version__}",
        "x-bfl-event-id": event_id,
    }
    if secret is not None:
        headers["x-bfl-signature"] = f"sha256={signature(body, secret)}"
    return headers


def signature(body: bytes, secret: str) -> str:
    """What only who knows the secret can make."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
