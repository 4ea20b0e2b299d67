"""Which checkpoints a run has, by their folders' names alone; imports no torch."""

from __future__ import annotations

from pathlib import Path

_PREFIX = "step-"


def checkpoint_name(step: int) -> str:
    """The name of the folder of a checkpoint."""
    return f"{_PREFIX}{step:06d}"


def checkpoint_folders(folder: Path) -> list[Path]:
    """The complete checkpoints, oldest first."""
    return sorted(folder.glob(f"{_PREFIX}*"), key=lambda path: _step(path))


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint, 0 without one."""
    folders = checkpoint_folders(folder)
    return _step(folders[-1]) if folders else 0


def _step(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))
