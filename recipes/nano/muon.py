"""The optimizer of nano's transformer: Muon for matrices inside blocks, Adam for the rest.

Muon (Jordan et al. 2024) replaces a matrix's momentum by the nearest orthogonal matrix, found by five
Newton-Schulz steps. torch's own runs them in bfloat16, which CPUs without that type emulate at a hundredth
of the speed, so this one is float32; and it iterates on the small Gram matrix (256 x 256) instead of the
wide one: the same polynomial for about half the work. All state is in tensors made at the start, so that
processes can share it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

MUON_RATE, ADAM_RATE = 0.02, 2e-3
MOMENTUM, DECAY = 0.95, 0.01
BETAS = (0.9, 0.95)
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


class Optimizer:
    """Updates parameters from gradients that are handed in; any process may update any of them."""

    def __init__(self, modules: list[nn.Module]) -> None:
        matrices, others = split(modules)
        self.parameters: list[Tensor] = [*matrices, *others]
        self.matrices = len(matrices)
        self.first = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        self.second = [torch.zeros_like(parameter, requires_grad=False) for parameter in others]

    @torch.no_grad()
    def update(self, index: int, gradient: Tensor, step: int, share_of_rate: float) -> None:
        """Take one gradient into its averages and move the parameter."""
        if index < self.matrices:
            self._muon(index, gradient, step, MUON_RATE * share_of_rate)
        else:
            self._adam(index, gradient, step, ADAM_RATE * share_of_rate)

    def _muon(self, index: int, gradient: Tensor, step: int, rate: float) -> None:
        """Momentum changes little between two steps, so each matrix takes a double step every second time."""
        parameter, average = self.parameters[index], self.first[index]
        average.lerp_(gradient, 1 - MOMENTUM)
        if (index + step) % 2:
            return
        rows, columns = parameter.shape
        parameter.mul_(1 - 2 * rate * DECAY)
        update = orthogonalised(gradient.lerp(average, MOMENTUM))
        parameter.add_(update, alpha=-2 * rate * max(1.0, rows / columns) ** 0.5)

    def _adam(self, index: int, gradient: Tensor, step: int, rate: float) -> None:
        first, second = self.first[index], self.second[index - self.matrices]
        first.lerp_(gradient, 1 - BETAS[0])
        second.lerp_(gradient.square(), 1 - BETAS[1])
        size = (second / (1 - BETAS[1] ** (step + 1))).sqrt_().add_(1e-8)
        self.parameters[index].addcdiv_(first, size, value=-rate / (1 - BETAS[0] ** (step + 1)))

    def owned(self, team: int) -> list[list[int]]:
        """Parameters dealt to `team` processes: each gets about the same work in every step."""
        order = sorted(range(len(self.parameters)), key=lambda i: (i >= self.matrices, i % 2, -self._work(i)))
        load = [0] * team
        dealt: list[list[int]] = [[] for _ in range(team)]
        for index in order:
            least = min(range(team), key=lambda rank: load[rank])
            dealt[least].append(index)
            load[least] += self._work(index)
        return dealt

    def _work(self, index: int) -> int:
        shape = self.parameters[index].shape
        return min(shape) * self.parameters[index].numel() if index < self.matrices else 20 * sum(shape)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"first": self.first, "second": self.second}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        for own, saved in zip(self.first + self.second, state["first"] + state["second"], strict=True):
            own.copy_(saved)

    def share_memory(self) -> None:
        """Put all state where processes that are forked later see and change the same tensors."""
        for tensor in self.first + self.second:
            tensor.share_memory_()  # type: ignore[no-untyped-call]


def split(modules: list[nn.Module]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Matrices inside blocks and layers; everything else (ends, embeddings, modulation, norms)."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            inner = "transformer_blocks." in name or "layers." in name
            (matrices if inner and parameter.ndim == 2 else others).append(parameter)
    return matrices, others
