"""A folder of base weights: what `fluxsmith.json` in it says, and whether its files are whole.

Imports no torch, so that models can be listed by a process that never loads one. A folder is laid out
as diffusers' `save_pretrained` writes it; `fluxsmith.json` holds the numbers of a model that diffusers'
own files lack (how long its prompts are, which layers its text encoder gives, the size it draws).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from fluxsmith.errors import EngineError

CARD = "fluxsmith.json"
INDEX = "model_index.json"
CAPABILITIES = ("text", "image_prompt", "edit", "fill")
"""What models of the `flux2` family can do: they see pictures beside the prompt. Where a card names none."""
WEIGHED = ("transformer", "vae", "text_encoder")
"""Subfolders that hold weights."""


@dataclass(frozen=True)
class ModelFolder:
    """What a folder of base weights says of itself.

    `reference_side` is the shorter side, in pixels, at which it looks at references; None for their own.
    `sees_controls` is false for one that does not follow edges and relief that it is shown: it is led along.
    """

    path: Path
    name: str
    title: str
    family: str
    native_side: int
    max_sequence_length: int
    text_encoder_out_layers: tuple[int, ...]
    default_steps: int
    default_guidance: float
    license: str
    default_learning_rate: float | None
    distilled: bool
    reference_side: int | None
    sees_controls: bool
    capabilities: frozenset[str]


def read_folder(path: Path) -> ModelFolder:
    """Read `fluxsmith.json` and `model_index.json` of a folder.

    Raises:
        EngineError: `weights-missing` or `weights-damaged`.
    """
    card, index = _read_json(path / CARD), _read_json(path / INDEX)
    try:
        rate, side = card.get("default_learning_rate"), card.get("reference_side")
        return ModelFolder(
            path=path,
            name=str(card["name"]),
            title=str(card.get("title") or card["name"]),
            family=str(card["family"]),
            native_side=int(card["native_side"]),
            max_sequence_length=int(card["max_sequence_length"]),
            text_encoder_out_layers=tuple(int(layer) for layer in card["text_encoder_out_layers"]),
            default_steps=int(card["default_steps"]),
            default_guidance=float(card["default_guidance"]),
            license=str(card["license"]),
            default_learning_rate=None if rate is None else float(rate),
            distilled=bool(index.get("is_distilled", False)),
            reference_side=None if side is None else int(side),
            sees_controls=bool(card.get("sees_controls", True)),
            capabilities=frozenset(str(one) for one in card.get("capabilities", CAPABILITIES)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path / CARD, f"its entry {error} is missing or wrong") from error


def check_weights(folder: ModelFolder) -> None:
    """Check that every weight file is there and whole; reads headers only, no tensors.

    Raises:
        EngineError: `weights-missing` or `weights-damaged`.
    """
    for part in WEIGHED:
        for file in weight_files(folder, part):
            try:
                with safe_open(file, framework="np") as opened:
                    if not list(opened.keys()):
                        raise damaged(file, "it holds no tensors")
            except (SafetensorError, OSError) as error:
                raise damaged(file, str(error)) from error


def weight_files(folder: ModelFolder, part: str) -> list[Path]:
    """The safetensors files of one part, sorted.

    Raises:
        EngineError: `weights-missing`: there are none.
    """
    files = sorted((folder.path / part).glob("*.safetensors"))
    if not files or not (folder.path / part / "config.json").is_file():
        raise missing(folder.path / part)
    return files


def missing(path: Path) -> EngineError:
    """The error for weights that are not where they should be."""
    return EngineError(
        "weights-missing",
        f"The model's weights are missing: there is no {path.name} in {path.parent}.",
        hint="Install the package again, or point FLUXSMITH_MODELS_DIR at a folder with the model's weights.",
    )


def damaged(path: Path, why: str) -> EngineError:
    """The error for weights that cannot be read."""
    return EngineError(
        "weights-damaged",
        f"The model's weights are damaged: {path} cannot be read ({why}).",
        hint="Install the package again, or copy the model's folder again.",
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise missing(path) from error
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(values, dict):
        raise damaged(path, "its top is no object")
    return values
