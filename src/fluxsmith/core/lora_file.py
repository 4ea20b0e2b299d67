"""Whether a file is a LoRA in safetensors, told from its header alone: no torch, nothing is loaded or run.

For files that come from elsewhere. The engine looks again, with its own library, before it loads one.
Source: the format's description in safetensors' README (8 bytes of length, JSON, then the tensors' bytes).
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from fluxsmith.errors import ValidationError

HEADER_BYTES = 100_000_000  # the format's own limit


def check_lora_file(path: Path) -> None:
    """Check a file's header, that all its tensors are there, and that some are a LoRA's.

    Raises:
        ValidationError: `lora-unsafe` (another format) or `lora-damaged`.
        OSError: it cannot be read.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= HEADER_BYTES or file.read(1) != b"{":
            raise ValidationError(
                "lora-unsafe",
                "The file is not in safetensors format, and other formats can run code when loaded.",
                hint="Convert it to safetensors where you trust it.",
            )
        text = b"{" + file.read(length - 1)
    tensors = _tensors(text)
    end = max((_end(tensor) for tensor in tensors.values()), default=0)
    if size_bytes != 8 + length + end:
        raise _damaged(f"it has {size_bytes:,} bytes instead of {8 + length + end:,}")
    if not any("lora" in name.lower() for name in tensors):
        raise _damaged("it holds no LoRA matrices")


def _tensors(text: bytes) -> dict[str, object]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged("its header is cut off or not JSON") from error
    return {name: value for name, value in header.items() if name != "__metadata__"}


def _end(tensor: object) -> int:
    match tensor:
        case {"data_offsets": [int(), int(end)]} if end >= 0:
            return end
    raise _damaged("a tensor has no place in it")


def _damaged(why: str) -> ValidationError:
    return ValidationError(
        "lora-damaged", f"The LoRA's file cannot be read: {why}.", hint="Train or fetch it again."
    )
