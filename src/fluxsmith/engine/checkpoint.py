"""Checkpoints of a training run: written whole or not at all, the last two kept, never a pickle.

    RUN_DIR/checkpoints/step-000050/weights.safetensors     what is trained
                                    optimizer.safetensors   AdamW's moments
                                    state.json              step, specification's fingerprint, losses

The step is also the position in the data and the state of all random choices (see `draws`).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fluxsmith.engine.checkpoint_steps import checkpoint_folders, checkpoint_name
from fluxsmith.engine.files import as_storage_error, rename_folder, write_json, write_tensors

_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `step` steps."""

    step: int
    fingerprint: str
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    losses: list[float]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint and drop all but the last two; a full disk leaves the earlier ones whole.

    Raises:
        StorageError: `disk-full`.
    """
    target = folder / checkpoint_name(checkpoint.step)
    part = folder / f".{target.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        write_tensors(part / "weights.safetensors", checkpoint.weights)
        write_tensors(part / "optimizer.safetensors", checkpoint.optimizer)
        state = {
            "step": checkpoint.step,
            "fingerprint": checkpoint.fingerprint,
            "losses": checkpoint.losses,
        }
        write_json(part / "state.json", state)
        shutil.rmtree(target, ignore_errors=True)
        rename_folder(part, target)
    except OSError as error:
        raise as_storage_error(error, target) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for old in checkpoint_folders(folder)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def newest_checkpoint(folder: Path, fingerprint: str) -> Checkpoint | None:
    """The newest checkpoint of this specification that can be read, or None."""
    for candidate in reversed(checkpoint_folders(folder)):
        try:
            state = json.loads((candidate / "state.json").read_text(encoding="utf-8"))
            if state["fingerprint"] != fingerprint:
                continue
            return Checkpoint(
                step=state["step"],
                fingerprint=fingerprint,
                weights=load_file(candidate / "weights.safetensors"),
                optimizer=load_file(candidate / "optimizer.safetensors"),
                losses=state["losses"],
            )
        except (OSError, ValueError, KeyError, SafetensorError):
            continue
    return None
