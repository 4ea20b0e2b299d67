"""Carries a provider's reports into the job's events."""

from __future__ import annotations

from pathlib import Path

from fluxsmith.core.jobs import JobContext


class GenerationReporter:
    """A `Reporter` over one job's context; a generation has no live samples."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx

    def progress(
        self,
        stage: str,
        step: int,
        total: int,
        *,
        loss: float | None = None,
        learning_rate: float | None = None,
        eta_s: float | None = None,
    ) -> None:
        """Pass progress on to the job."""
        self._ctx.progress(stage, step, total, loss=loss, learning_rate=learning_rate, eta_s=eta_s)

    def sample(self, step: int, prompt: str, png: Path) -> None:
        """Note that a preview exists; the pictures themselves are the result."""
        self._ctx.event("sample", {"step": step, "prompt": prompt})

    def message(self, text: str) -> None:
        """Add a line to the job's log."""
        self._ctx.message(text)

    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._ctx.cancelled()
