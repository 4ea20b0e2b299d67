"""Carries a provider's reports into the job's events, and samples into storage."""

from __future__ import annotations

from pathlib import Path

from fluxsmith.core.jobs import JobContext
from fluxsmith.core.storage import StorageService


def lora_key(finetune_id: str) -> str:
    """Where the LoRA of a finetune is stored."""
    return f"finetunes/{finetune_id}/lora.safetensors"


def samples_prefix(finetune_id: str) -> str:
    """Where the live samples of a finetune are stored."""
    return f"finetunes/{finetune_id}/samples/"


def run_folder(runs_dir: Path, finetune_id: str) -> Path:
    """The scratch folder of a finetune; it survives attempts, and goes when the finetune ends."""
    folder = runs_dir / finetune_id
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


class FinetuneReporter:
    """A `TrainingReporter` over one job's context."""

    def __init__(self, ctx: JobContext, storage: StorageService) -> None:
        self._ctx = ctx
        self._storage = storage

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
        """Store a live sample and tell of it; the same sample of a later attempt replaces it."""
        key = f"{samples_prefix(self._ctx.job_id)}{png.name}"
        self._storage.put(key, png)
        self._ctx.event("sample", {"step": step, "prompt": prompt, "storage_key": key})

    def message(self, text: str) -> None:
        """Add a line to the job's log."""
        self._ctx.message(text)

    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._ctx.cancelled()
