"""AdamW, its learning rate by step, and its state as plain named tensors.

The rate is a function of the step, so that a resumed run needs no scheduler state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fluxsmith.engine.spec import TrainSpec

_STATE = ("step", "exp_avg", "exp_avg_sq")


def make_optimizer(parameters: Mapping[str, nn.Parameter], spec: TrainSpec) -> torch.optim.AdamW:
    """AdamW with the betas of the reference script (0.9, 0.999), fused into one pass over memory."""
    return torch.optim.AdamW(
        parameters.values(),
        lr=spec.learning_rate,
        betas=(0.9, 0.999),
        weight_decay=spec.weight_decay,
        fused=True,
    )


def learning_rate(spec: TrainSpec, step: int) -> float:
    """The rate of a step, counted from 0: a linear rise, then constant, cosine or linear to zero."""
    warmup = min(spec.warmup_steps, spec.steps)
    if step < warmup:
        return spec.learning_rate * (step + 1) / warmup
    if spec.schedule == "constant":
        return spec.learning_rate
    passed = (step - warmup) / max(1, spec.steps - warmup)
    if spec.schedule == "linear":
        return spec.learning_rate * (1 - passed)
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * passed))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` from now on."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """The optimizer's state, each tensor named `<parameter>/<what>`."""
    tensors = {}
    for name, parameter in parameters.items():
        for what, tensor in optimizer.state[parameter].items():
            tensors[f"{name}/{what}"] = tensor
    return tensors


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Put a state back; raises KeyError if it is of other parameters."""
    for name, parameter in parameters.items():
        state = {what: tensors[f"{name}/{what}"] for what in _STATE}
        optimizer.state[parameter] = {
            what: tensor.to(parameter.device) if tensor.ndim else tensor.to(parameter.device).clone()
            for what, tensor in state.items()
        }
