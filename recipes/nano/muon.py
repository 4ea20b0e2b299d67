"""The optimizer of nano's transformer: Muon for matrices inside blocks, AdamW for the rest.

Muon (Jordan et al. 2024) replaces a matrix's momentum by the nearest orthogonal matrix, found by five
Newton-Schulz steps. torch's own runs them in bfloat16, which these CPUs emulate at a hundredth of the
speed, so this one is float32; and it iterates on the small Gram matrix (256 x 256) instead of the wide one:
the same polynomial for about half the work.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic step; chosen by Jordan et al. to pull all singular values near 1 quickly."""


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """The matrix with all singular values near 1; (rows, columns)."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.T
    unit = torch.eye(len(gram))
    total = unit
    a, b, c = _COEFFICIENTS
    for step in range(steps):
        factor = torch.addmm(a * unit + b * gram, gram, gram, alpha=c)
        total = factor @ total if step else factor
        if step < steps - 1:
            gram = factor @ (gram @ factor)
    result: Tensor = total @ wide
    return result if matrix.shape[0] <= matrix.shape[1] else result.T


class Muon:
    """Orthogonalised Nesterov momentum for two-dimensional parameters.

    Momentum changes little between two steps, so each matrix takes a double step every second time: half
    the products.
    """

    def __init__(self, parameters: list[nn.Parameter], momentum: float = 0.95, decay: float = 0.01) -> None:
        self.parameters = parameters
        self.momentum = momentum
        self.decay = decay
        self.averages = [torch.zeros_like(parameter) for parameter in parameters]
        self.taken = 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Take every gradient into its average, forget it, and move half of the parameters."""
        for index, (parameter, average) in enumerate(zip(self.parameters, self.averages, strict=True)):
            if parameter.grad is None:
                continue
            average.lerp_(parameter.grad, 1 - self.momentum)
            if (index + self.taken) % 2 == 0:
                update = orthogonalised(parameter.grad.lerp(average, self.momentum))
                rows, columns = parameter.shape
                parameter.mul_(1 - 2 * rate * self.decay)
                parameter.add_(update, alpha=-2 * rate * max(1.0, rows / columns) ** 0.5)
            parameter.grad = None
        self.taken += 1


class Optimizer:
    """Both optimizers behind one `step`, with one schedule."""

    def __init__(self, modules: list[nn.Module], muon_rate: float = 0.02, adam_rate: float = 2e-3) -> None:
        matrices, others = _split(modules)
        self.muon_rate, self.adam_rate = muon_rate, adam_rate
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.95), weight_decay=0.0)

    def step(self, share_of_rate: float) -> None:
        """One update with both rates scaled."""
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * share_of_rate
        self.muon.step(self.muon_rate * share_of_rate)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"averages": self.muon.averages, "taken": self.muon.taken, "adam": self.adam.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.muon.averages, self.muon.taken = state["averages"], state["taken"]
        self.adam.load_state_dict(state["adam"])


def _split(modules: list[nn.Module]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices inside blocks and layers; everything else (ends, embeddings, modulation, norms)."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            inner = "transformer_blocks." in name or "layers." in name
            (matrices if inner and parameter.ndim == 2 else others).append(parameter)
    return matrices, others
