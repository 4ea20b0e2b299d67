"""The hot sampler: one loaded base model, LoRA files switched on it, pictures of any size.

A picture depends on model, prompt, seed, size, steps, guidance and LoRAs only: each is drawn by itself,
from a generator on the CPU, so that it is the same whatever else is drawn with it. One picture is
drawn at a time; calls from several threads wait for each other.
"""

from __future__ import annotations

import gc
import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fluxsmith.engine.adapters import AdapterShelf, LoraUse
from fluxsmith.engine.conditions import (
    Conditions,
    ControlUse,
    FillUse,
    composed,
    drawn_tokens,
    pixels,
    read_mask,
    read_rgb,
    shown_references,
    wanted_map,
)
from fluxsmith.engine.device import choose_device, use_all_cores
from fluxsmith.engine.families import open_model
from fluxsmith.engine.families.base import FamilyModel
from fluxsmith.engine.folder import read_folder
from fluxsmith.engine.memory import is_out_of_memory, out_of_memory_drawing
from fluxsmith.engine.sizes import native_size

_KEPT_PROMPTS = 64


@dataclass(frozen=True)
class DrawRequest:
    """Pictures to draw; picture i has `seed + i`. None means the model's own default.

    With a `fill`, width and height are those of its picture.
    """

    prompt: str
    width: int
    height: int
    seed: int
    count: int = 1
    steps: int | None = None
    guidance: float | None = None
    loras: tuple[LoraUse, ...] = ()
    references: tuple[Path, ...] = ()
    image_prompts: tuple[Path, ...] = ()
    image_prompt_strength: float = 1.0
    control: ControlUse | None = None
    fill: FillUse | None = None


@dataclass(frozen=True)
class Drawn:
    """One picture as PNG of exactly the size asked for, and the size that it was drawn at."""

    png: bytes
    seed: int
    native_width: int
    native_height: int


class Sampler:
    """Keeps a base model loaded and draws with it.

    Args:
        device: `auto`, `cpu` or `cuda`.
    """

    def __init__(self, device: str = "auto") -> None:
        self._wish = device
        self._lock = threading.RLock()
        self._model: FamilyModel | None = None
        self._shelf: AdapterShelf | None = None
        self._prompts: OrderedDict[str, Tensor] = OrderedDict()

    def load(self, folder: Path) -> None:
        """Load a base model, unless it is loaded already; another one is given up for it.

        Raises:
            EngineError: weights are missing or damaged.
            CapacityError: memory ran out.
        """
        with self._lock:
            try:
                self._open(folder)
            except Exception as error:
                self.close()
                if is_out_of_memory(error):
                    raise out_of_memory_drawing() from error
                raise

    def draw(
        self,
        folder: Path,
        request: DrawRequest,
        on_step: Callable[[int, int], None],
        on_message: Callable[[str], None],
    ) -> list[Drawn]:
        """Draw all pictures of a request.

        Args:
            folder: of the base model.
            request: what to draw.
            on_step: told the steps done and their number, over all pictures; may raise to stop.
            on_message: told in words what was done differently from what was asked.

        Raises:
            EngineError: weights or a LoRA are missing, damaged or do not fit.
            CapacityError: memory ran out.
        """
        with self._lock:
            self.load(folder)
            try:
                return self._draw_all(request, on_step, on_message)
            except (RuntimeError, MemoryError, OSError) as error:
                if is_out_of_memory(error):
                    self._after_out_of_memory()
                    raise out_of_memory_drawing() from error
                raise

    def close(self) -> None:
        """Give the model's memory back."""
        with self._lock:
            self._model = self._shelf = None
            self._prompts.clear()
            gc.collect()

    def _open(self, folder: Path) -> None:
        if self._model is not None and self._model.folder.path == folder:
            return
        self.close()
        use_all_cores()
        model = open_model(read_folder(folder), choose_device(self._wish))
        self._model, self._shelf = model, AdapterShelf(model.pipeline)
        self._embedding("")

    def _draw_all(
        self, request: DrawRequest, on_step: Callable[[int, int], None], on_message: Callable[[str], None]
    ) -> list[Drawn]:
        model, shelf = self._loaded()
        steps = request.steps if request.steps is not None else model.folder.default_steps
        guidance = request.guidance if request.guidance is not None else model.folder.default_guidance
        width, height = native_size(request.width, request.height, model.folder.native_side)
        prompt = self._prompt(request.prompt, on_message)
        shelf.use(request.loras)
        original = _Original(request.fill) if request.fill else None
        seen, led_along = (request.control, None) if model.folder.sees_controls else (None, request.control)
        conditions = Conditions(
            shown_references(
                request.references,
                request.image_prompts,
                request.image_prompt_strength,
                seen,
                model.folder.reference_side,
            ),
            original.latents(model, width, height) if original else None,
            wanted_map(led_along, width, height) if led_along else None,
        )
        pictures = []
        for number in range(request.count):
            drawn = model.draw(
                prompt,
                self._embedding(""),
                width=width,
                height=height,
                steps=steps,
                guidance=guidance,
                seed=request.seed + number,
                conditions=conditions,
                on_step=_counted(on_step, number * steps, request.count * steps),
            )
            if original is not None:
                drawn = composed(drawn, original.picture, original.mask)
            png = _png(drawn, request.width, request.height)
            pictures.append(Drawn(png, request.seed + number, width, height))
        return pictures

    def _prompt(self, prompt: str, on_message: Callable[[str], None]) -> Tensor:
        model, _ = self._loaded()
        tokens, limit = model.prompt_tokens(prompt), model.folder.max_sequence_length
        if tokens > limit:
            on_message(
                f"The prompt is {tokens} tokens long and this model reads {limit}; the end of it is ignored."
            )
        return self._embedding(prompt)

    def _embedding(self, prompt: str) -> Tensor:
        model, _ = self._loaded()
        if prompt not in self._prompts:
            self._prompts[prompt] = model.encode_prompts([prompt])
            if len(self._prompts) > _KEPT_PROMPTS:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(prompt)
        return self._prompts[prompt]

    def _loaded(self) -> tuple[FamilyModel, AdapterShelf]:
        if self._model is None or self._shelf is None:
            raise RuntimeError("No model is loaded.")
        return self._model, self._shelf

    def _after_out_of_memory(self) -> None:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Original:
    """The picture of a fill and its mask, in their own size."""

    def __init__(self, fill: FillUse) -> None:
        self.picture = read_rgb(fill.picture)
        self.mask = read_mask(fill.mask, self.picture.size)

    def latents(self, model: FamilyModel, width: int, height: int) -> tuple[Tensor, Tensor]:
        """Latents at the size that is drawn, and which tokens are drawn anew."""
        small = self.picture.resize((width, height), Image.Resampling.LANCZOS)
        return model.encode_pictures(pixels(small))[0], drawn_tokens(self.mask, *model.grid(width, height))


def _counted(on_step: Callable[[int, int], None], before: int, total: int) -> Callable[[int], None]:
    return lambda step: on_step(before + step, total)


def _png(picture: Image.Image, width: int, height: int) -> bytes:
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()
