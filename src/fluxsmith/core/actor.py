"""Who asks: the identity that services check rights against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """A person or program acting now; `id` owns what it makes."""

    id: str
    name: str


LOCAL_OWNER = Actor(id="local", name="Local owner")
"""The one user of a studio that only its own machine can reach."""
