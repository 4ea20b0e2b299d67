"""A finetune as somebody who watches it sees it: what its events have told so far.

Built by adding events as they come, so that each look at a long run reads only what is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fluxsmith.core.jobs import Event
from fluxsmith.ui.curve import LossPoint


@dataclass(frozen=True)
class Sample:
    """A live sample: after which step, of which words, and its file's key."""

    step: int
    prompt: str
    storage_key: str


@dataclass(frozen=True)
class Watched:
    """The losses, samples and last words of one finetune, up to event number `seq`."""

    finetune_id: str
    seq: int = 0
    losses: tuple[LossPoint, ...] = ()
    samples: tuple[Sample, ...] = ()
    message: str = ""

    def after(self, events: Sequence[Event]) -> Watched:
        """The same with newer events added; a step that was trained again replaces its first try."""
        if not events:
            return self
        losses, samples, message = list(self.losses), list(self.samples), self.message
        for event in events:
            data = event.data
            if event.kind == "progress" and data.get("loss") is not None:
                point = LossPoint(int(data["step"]), float(data["loss"]))
                while losses and losses[-1].step >= point.step:
                    losses.pop()
                losses.append(point)
            elif event.kind == "sample":
                sample = Sample(int(data["step"]), str(data["prompt"]), str(data["storage_key"]))
                samples = [old for old in samples if old.storage_key != sample.storage_key] + [sample]
            elif event.kind == "message":
                message = str(data.get("text", ""))
        return replace(
            self, seq=events[-1].seq, losses=tuple(losses), samples=tuple(samples), message=message
        )
