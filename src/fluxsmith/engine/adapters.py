"""LoRAs loaded on a pipeline: each once, the least recently used dropped, switched by strength."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluxsmith.engine.lora import check_lora, drop_lora, load_lora

_KEPT_LORAS = 8


@dataclass(frozen=True)
class LoraUse:
    """A LoRA to draw with: `id` names it in caches, `strength` 0 switches it off."""

    id: str
    path: Path
    strength: float


class AdapterShelf:
    """The LoRAs that are loaded on one pipeline."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._loaded: OrderedDict[str, None] = OrderedDict()

    def use(self, loras: Sequence[LoraUse]) -> None:
        """Make exactly these LoRAs act, at their strengths; without any the base model is itself.

        Raises:
            EngineError: a file is missing, unsafe, damaged, or made for another base model.
        """
        acting = {self._load(lora): lora.strength for lora in loras if lora.strength != 0}
        if acting:
            self._pipeline.enable_lora()
            self._pipeline.set_adapters(list(acting), list(acting.values()))
        elif self._loaded:
            self._pipeline.disable_lora()
        self._drop_oldest(keep=max(_KEPT_LORAS, len(acting)))

    def _load(self, lora: LoraUse) -> str:
        check_lora(lora.path)
        name = _name(lora)
        if name not in self._loaded:
            load_lora(self._pipeline, lora.path, name)
            self._loaded[name] = None
        self._loaded.move_to_end(name)
        return name

    def _drop_oldest(self, keep: int) -> None:
        while len(self._loaded) > keep:
            name, _ = self._loaded.popitem(last=False)
            drop_lora(self._pipeline, name)


def _name(lora: LoraUse) -> str:
    """A name that changes when the file does."""
    stat = lora.path.stat()
    words = f"{lora.id}/{stat.st_size}/{stat.st_mtime_ns}"
    return "lora_" + hashlib.sha256(words.encode()).hexdigest()[:24]
