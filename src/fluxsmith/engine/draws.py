"""Every random choice of a training run, as a function of the seed and the step.

Because nothing depends on what was drawn before, a resumed run needs no saved generators: the step is
its random state and its position in the data. Draws are made on the CPU whatever the device.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def generator(seed: int, *purpose: object) -> torch.Generator:
    """A generator that depends on the seed and the purpose only."""
    words = "/".join(str(part) for part in (seed, *purpose))
    digest = hashlib.blake2b(words.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def batch_indices(seed: int, pictures: int, batch_size: int, batch: int) -> list[int]:
    """Which pictures the batch of that number holds: each once an epoch, in a new order each epoch."""
    positions = range(batch * batch_size, (batch + 1) * batch_size)
    orders: dict[int, list[int]] = {}
    chosen = []
    for position in positions:
        epoch, place = divmod(position, pictures)
        if epoch not in orders:
            order = torch.randperm(pictures, generator=generator(seed, "order", epoch))
            orders[epoch] = order.tolist()
        chosen.append(orders[epoch][place])
    return chosen


def timesteps(count: int, sampling: str, source: torch.Generator) -> Tensor:
    """(count,) draws in [0, 1): uniform, or logit-normal with mean 0 and deviation 1."""
    if sampling == "uniform":
        return torch.rand(count, generator=source)
    return torch.sigmoid(torch.randn(count, generator=source))
