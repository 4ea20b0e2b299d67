"""A real small file system for tests of full and read-only disks."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(at: Path, size: str = "1m") -> Iterator[Path]:
    """Mount a tmpfs of that size at a new folder; skips the test where nothing can be mounted."""
    at.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def make_read_only(at: Path) -> None:
    """Remount a small disk so that nothing can be written to it."""
    subprocess.run(["mount", "-o", "remount,ro", str(at)], check=True)
