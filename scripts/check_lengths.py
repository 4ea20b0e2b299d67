"""Fails if a source file has more than 500 lines: one that long knows more than one thing."""

from __future__ import annotations

import sys
from pathlib import Path

LIMIT_LINES = 500
ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "benchmarks", "recipes", "scripts")
ENDINGS = {".py", ".js", ".css", ".html"}


def too_long() -> list[str]:
    """The files over the limit, with their lengths."""
    files = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")))
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in files if path.suffix in ENDINGS
    }
    return [f"{path.relative_to(ROOT)}: {count}" for path, count in lengths.items() if count > LIMIT_LINES]


if __name__ == "__main__":
    found = too_long()
    if found:
        sys.exit(f"Files of more than {LIMIT_LINES} lines:\n" + "\n".join(found))
