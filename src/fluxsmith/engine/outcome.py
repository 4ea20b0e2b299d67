"""What a training run comes to: the LoRA file and facts about it, kept so that a repeated call finds them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fluxsmith.engine.families import open_model
from fluxsmith.engine.families.base import FamilyModel
from fluxsmith.engine.files import write_json
from fluxsmith.engine.lora import check_lora, extract_lora, lora_tensors, write_lora
from fluxsmith.engine.spec import TrainSpec
from fluxsmith.errors import EngineError

_LORA = "lora.safetensors"
_RESULT = "result.json"


@dataclass(frozen=True)
class TrainResult:
    """The LoRA file, facts about the run as JSON values, and the loss of every step."""

    lora_path: Path
    facts: dict[str, object]
    losses: tuple[float, ...]


def finish(
    spec: TrainSpec,
    model: FamilyModel,
    parameters: Mapping[str, nn.Parameter],
    run_dir: Path,
    facts: Mapping[str, object],
    losses: Sequence[float],
) -> TrainResult:
    """Write the LoRA file of a run, extracting one if all weights were trained.

    Raises:
        StorageError: `disk-full`.
    """
    gathered: dict[str, object] = {
        "base_model": model.folder.name,
        "steps": spec.steps,
        "pictures": len(spec.pictures),
        "resolution": spec.resolution,
        "rank": spec.lora_rank,
        "alpha": spec.lora_alpha,
        "learning_rate": spec.learning_rate,
        "batch_size": spec.batch_size,
        "device": model.device.type,
        **facts,
    }
    if spec.finetune_type == "full":
        before = open_model(model.folder, model.device).transformer.state_dict()
        after = {name: value.detach().cpu() for name, value in parameters.items()}
        extracted = extract_lora(
            {name: before[name].cpu() for name in after},
            after,
            model.linear_modules(),
            spec.lora_rank,
            spec.lora_alpha,
        )
        tensors = extracted.tensors
        gathered["lost_energy"] = round(extracted.lost_energy, 4)
    else:
        tensors = lora_tensors(model.transformer)
    path = run_dir / _LORA
    write_lora(path, tensors, spec.lora_rank, spec.lora_alpha, _metadata(spec, model))
    write_json(run_dir / _RESULT, {"fingerprint": spec.fingerprint(), "facts": gathered, "losses": losses})
    return TrainResult(path, gathered, tuple(losses))


def earlier_result(spec: TrainSpec, run_dir: Path) -> TrainResult | None:
    """The result of an earlier attempt that finished but could not tell, or None."""
    try:
        kept = json.loads((run_dir / _RESULT).read_text(encoding="utf-8"))
        check_lora(run_dir / _LORA)
        if kept["fingerprint"] == spec.fingerprint():
            return TrainResult(run_dir / _LORA, kept["facts"], tuple(kept["losses"]))
    except (OSError, ValueError, KeyError, EngineError):
        return None
    return None


def _metadata(spec: TrainSpec, model: FamilyModel) -> dict[str, str]:
    return {
        "base_model": model.folder.name,
        "rank": str(spec.lora_rank),
        "alpha": f"{spec.lora_alpha:g}",
        "trigger_word": spec.trigger_word,
        "steps": str(spec.steps),
        "finetune_type": spec.finetune_type,
        "resolution": str(spec.resolution),
        **spec.metadata,
    }
