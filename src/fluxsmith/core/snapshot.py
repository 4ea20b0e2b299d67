"""An immutable picture list: what a finetune is trained on, whatever becomes of the dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class SnapshotItem(BaseModel):
    """One picture of a snapshot; the file is addressed by its content."""

    model_config = ConfigDict(frozen=True)

    storage_key: str
    sha256: str
    filename: str
    caption: str | None = None


def snapshot_hash(items: Iterable[SnapshotItem]) -> str:
    """SHA-256 over the pictures and captions in order, in hex."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item.sha256}\0{item.caption or ''}\0".encode())
    return digest.hexdigest()
