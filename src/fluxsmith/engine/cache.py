"""What the encoders made of the pictures and the words, kept in the run's folder.

A child that is started again after a crash finds it there and loads no encoder. Files are named by
their content: the pictures' bytes, the words, the side, and the weights that encoded them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fluxsmith.engine.families.base import FamilyModel
from fluxsmith.engine.files import write_tensors
from fluxsmith.engine.folder import ModelFolder, weight_files
from fluxsmith.engine.pictures import read_pixels
from fluxsmith.errors import EngineError

_TOGETHER = 4
"""Pictures encoded at once: enough to keep cores busy, little memory."""


@dataclass(frozen=True)
class Prepared:
    """Encoded training material: latents in the order of the pictures, embeddings by their words."""

    latents: Tensor
    embeddings: dict[str, Tensor]


def prepare(
    model: FamilyModel,
    pictures: Sequence[Path],
    prompts: Sequence[str],
    side: int,
    folder: Path,
    on_step: Callable[[str, int, int], None],
) -> Prepared:
    """Encode pictures and prompts, or read what an earlier attempt has encoded.

    Args:
        model: encodes.
        pictures: RGB PNG files.
        prompts: words, each once.
        side: of the square trained at, in pixels.
        folder: where the cache lives.
        on_step: told what is done, how many are, and of how many; may raise to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    latents = _latents(model, pictures, side, folder, on_step)
    embeddings = _embeddings(model, prompts, folder, on_step)
    return Prepared(latents, dict(zip(prompts, embeddings, strict=True)))


def _latents(
    model: FamilyModel,
    pictures: Sequence[Path],
    side: int,
    folder: Path,
    on_step: Callable[[str, int, int], None],
) -> Tensor:
    contents = [_bytes_of(path) for path in pictures]
    file = (
        folder / f"latents-{_key(_identity(model.folder, 'vae'), str(side).encode(), *contents)}.safetensors"
    )
    kept = _read(file)
    if kept is not None:
        return kept
    made = []
    for start in range(0, len(pictures), _TOGETHER):
        on_step("Encoding pictures", start, len(pictures))
        batch = torch.stack([read_pixels(path, side) for path in pictures[start : start + _TOGETHER]])
        made.append(model.encode_pictures(batch))
    latents = torch.cat(made)
    write_tensors(file, {"tensor": latents})
    return latents


def _embeddings(
    model: FamilyModel, prompts: Sequence[str], folder: Path, on_step: Callable[[str, int, int], None]
) -> Tensor:
    words = [prompt.encode() for prompt in prompts]
    file = folder / f"prompts-{_key(_identity(model.folder, 'text_encoder'), *words)}.safetensors"
    kept = _read(file)
    if kept is not None:
        return kept
    made = []
    for start in range(0, len(prompts), _TOGETHER):
        on_step("Encoding captions", start, len(prompts))
        made.append(model.encode_prompts(prompts[start : start + _TOGETHER]))
    embeddings = torch.cat(made)
    write_tensors(file, {"tensor": embeddings})
    return embeddings


def _identity(folder: ModelFolder, part: str) -> bytes:
    """Names a set of weights without reading them all: sizes and times of its files."""
    stats = [(file.name, file.stat()) for file in weight_files(folder, part)]
    return repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]).encode()


def _key(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:32]


def _read(file: Path) -> Tensor | None:
    try:
        return load_file(file)["tensor"] if file.exists() else None
    except (SafetensorError, KeyError):
        return None


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(
            "picture-unreadable",
            f"The training picture {path.name} has vanished.",
            hint="Upload the dataset again.",
        ) from error
