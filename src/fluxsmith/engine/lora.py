"""LoRA on a transformer: adding one, extracting one from trained weights, and the file of one.

The file is diffusers' layout: keys `transformer.<module>.lora_A.weight`, and the `LoraConfig` as JSON
in the metadata so that alpha survives. Beside it stand plain metadata for people and other tools.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fluxsmith.engine.draws import generator
from fluxsmith.engine.files import write_tensors
from fluxsmith.errors import EngineError

_PREFIX = "transformer"


@dataclass(frozen=True)
class Extracted:
    """A LoRA taken from a change of weights, and the share of the change's energy that it lacks."""

    tensors: dict[str, Tensor]
    lost_energy: float


def add_lora(transformer: Any, targets: Sequence[str], rank: int, alpha: float, seed: int) -> None:
    """Add a trainable LoRA in float32: A gaussian, B zero, everything else frozen."""
    from peft import LoraConfig

    config = LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=list(targets))
    transformer.add_adapter(config)
    source = generator(seed, "lora")
    for name, parameter in transformer.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
        if ".lora_A." in name:
            values = torch.randn(parameter.shape, generator=source) / rank
            parameter.data.copy_(values)


def lora_tensors(transformer: Any) -> dict[str, Tensor]:
    """The LoRA's matrices, named `<module>.lora_A.weight`."""
    from peft.utils import get_peft_model_state_dict

    tensors: dict[str, Tensor] = get_peft_model_state_dict(transformer)
    return tensors


def extract_lora(
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    modules: Sequence[str],
    rank: int,
    alpha: float,
) -> Extracted:
    """The LoRA of that rank nearest to a change of weights, by truncated singular values.

    Args:
        before: weights by name.
        after: weights by name.
        modules: linear modules from which to take one; what changed elsewhere is lost.
        rank: of each pair of matrices; padded with zeros where a matrix has fewer.
        alpha: scale that the LoRA will be used with, over its rank.
    """
    changed = sum(float((after[name].float() - before[name].float()).square().sum()) for name in before)
    kept, tensors = 0.0, {}
    scale = alpha / rank
    for module in modules:
        delta = after[f"{module}.weight"].float() - before[f"{module}.weight"].float()
        left, values, right = torch.linalg.svd(delta, full_matrices=False)
        count = min(rank, len(values))
        root = values[:count].sqrt()
        down = torch.zeros(rank, delta.shape[1])
        up = torch.zeros(delta.shape[0], rank)
        down[:count] = root[:, None] * right[:count]
        up[:, :count] = left[:, :count] * root / scale
        tensors[f"{module}.lora_A.weight"] = down
        tensors[f"{module}.lora_B.weight"] = up
        kept += float(values[:count].square().sum())
    return Extracted(tensors, max(0.0, 1 - kept / changed) if changed else 0.0)


def write_lora(
    path: Path, tensors: Mapping[str, Tensor], rank: int, alpha: float, metadata: Mapping[str, str]
) -> None:
    """Write a LoRA in diffusers' layout.

    Raises:
        StorageError: `disk-full`.
    """
    modules = sorted({name.rsplit(".lora_", 1)[0] for name in tensors})
    config = {"r": rank, "lora_alpha": alpha, "target_modules": modules}
    header = {
        **metadata,
        "format": "pt",
        "lora_adapter_metadata": json.dumps({f"{_PREFIX}.{key}": value for key, value in config.items()}),
    }
    write_tensors(path, {f"{_PREFIX}.{name}": tensor for name, tensor in tensors.items()}, header)


def check_lora(path: Path) -> dict[str, str]:
    """Check that a file is a LoRA in safetensors, and return its metadata.

    Raises:
        EngineError: `lora-missing`, `lora-unsafe` (not safetensors: other formats may run code when
            they are loaded) or `lora-damaged`.
    """
    if not path.is_file():
        raise EngineError(
            "lora-missing",
            f"The LoRA's file {path.name} is missing.",
            hint="Train or upload it again.",
        )
    if path.suffix != ".safetensors":
        raise EngineError(
            "lora-unsafe",
            f"{path.name} is not a safetensors file, and other formats can run code when loaded.",
            hint="Convert it to safetensors where you trust it.",
        )
    try:
        with safe_open(path, framework="pt") as opened:
            if not any("lora" in key for key in opened.keys()):  # noqa: SIM118 - not a mapping
                raise _damaged(path, "it holds no LoRA matrices")
            return dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from error


def load_lora(pipeline: Any, path: Path, name: str) -> None:
    """Load a LoRA file into a pipeline under a name.

    Raises:
        EngineError: the file is missing, unsafe, damaged, or made for another base model.
    """
    check_lora(path)
    try:
        _check_modules(pipeline, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            pipeline.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name)
    except (ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        drop_lora(pipeline, name)
        if "allocate" in str(error).lower():
            raise
        raise EngineError(
            "lora-mismatch",
            f"The LoRA in {path.name} does not fit this base model.",
            hint="Use it with the base model that it was trained on.",
        ) from error


def _check_modules(pipeline: Any, path: Path) -> None:
    """Raise KeyError if a LoRA has matrices for modules that the model lacks: diffusers would drop them."""
    keys = pipeline.lora_state_dict(str(path.parent), weight_name=path.name, use_safetensors=True)
    there = {name for name, _ in pipeline.transformer.named_modules()}
    for key in keys:
        module = key.removeprefix(f"{_PREFIX}.").rsplit(".lora_", 1)[0]
        if ".lora_A." in key and module not in there:
            raise KeyError(module)


def drop_lora(pipeline: Any, name: str) -> None:
    """Forget a loaded LoRA, or what is left of one that failed to load."""
    if name in getattr(pipeline.transformer, "peft_config", {}):
        pipeline.delete_adapters(name)


def _damaged(path: Path, why: str) -> EngineError:
    return EngineError(
        "lora-damaged",
        f"The LoRA's file {path.name} cannot be read ({why}).",
        hint="Train or upload it again.",
    )
