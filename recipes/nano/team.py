"""Several processes of one thread each train one model whose weights they share.

Threads of one process meet after every small product, which costs most of the time on a machine that others
use too; processes meet three times a step. Each computes the gradient of its part of the batch, then each
updates the parameters that are its own from everybody's gradients.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

import torch
from torch import Tensor

TIMEOUT_S = 900.0
"""Longer than a compilation, during which the others wait."""


@dataclass(frozen=True)
class Plan:
    """What all processes do in the next step; `side` 0 means stop, `focused` to show known things only."""

    side: int
    share_of_rate: float
    focused: bool = False


class Team:
    """The shared tensors and the meeting point of `size` processes."""

    def __init__(self, size: int, parameters: list[Tensor]) -> None:
        self.size = size
        self._barrier: Barrier = multiprocessing.get_context("fork").Barrier(size)
        self._gradients = [
            [torch.zeros_like(parameter, requires_grad=False).share_memory_() for parameter in parameters]  # type: ignore[no-untyped-call]
            for _ in range(size)
        ]
        self._plan = torch.zeros(3, dtype=torch.float64).share_memory_()  # type: ignore[no-untyped-call]

    def run(self, work: Callable[[int], None]) -> None:
        """Call `work(rank)` in every process; rank 0 is this one."""
        context = multiprocessing.get_context("fork")
        others = [context.Process(target=work, args=(rank,), daemon=True) for rank in range(1, self.size)]
        for other in others:
            other.start()
        work(0)
        for other in others:
            other.join()

    def agree(self, plan: Plan | None) -> Plan:
        """Rank 0 says what comes next, the others pass None; all get it."""
        if plan:
            values = [plan.side, plan.share_of_rate, plan.focused]
            self._plan.copy_(torch.tensor(values, dtype=torch.float64))
        self.meet()
        return Plan(int(self._plan[0]), float(self._plan[1]), bool(self._plan[2]))

    def put(self, rank: int, parameters: list[Tensor]) -> None:
        """Hand in this process's gradients and wait for the others'."""
        for parameter, place in zip(parameters, self._gradients[rank], strict=True):
            if parameter.grad is None:
                place.zero_()
            else:
                place.copy_(parameter.grad)
            parameter.grad = None
        self.meet()

    def gradient(self, index: int) -> Tensor:
        """The mean gradient of one parameter."""
        return torch.stack([gradients[index] for gradients in self._gradients]).mean(dim=0)

    def meet(self) -> None:
        """Wait for everybody; raises BrokenBarrierError if one is gone."""
        self._barrier.wait(TIMEOUT_S)
