"""What the drivers in Python share: a line of JSON for each call, and what a picture is."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable
from typing import Any

from PIL import Image

Came = dict[str, Any]


def picture(colour: Any, mode: str = "RGB", side: int = 256) -> bytes:
    """A picture of one colour as PNG."""
    buffer = io.BytesIO()
    Image.new(mode, (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def picture64(colour: Any, mode: str = "RGB") -> str:
    """The same as base64."""
    return base64.b64encode(picture(colour, mode)).decode()


def seen(data: bytes) -> Came:
    """What a picture is."""
    opened = Image.open(io.BytesIO(data))
    return {"size": opened.size, "format": opened.format}


def report(name: str, call: Callable[[], Came], refusal: type[Exception]) -> None:
    """Print what a call came to, or in which words it was refused."""
    try:
        came = call()
    except refusal as error:
        came = {"error": str(error), "type": type(error).__name__}
    sys.stdout.write(json.dumps({"call": name, **came}) + "\n")
    sys.stdout.flush()
