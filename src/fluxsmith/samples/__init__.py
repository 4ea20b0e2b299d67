"""The pictures that ship with fluxsmith: a little creature that no base model knows.

Made by `recipes/sample`; `tok/README.md` says whose they are.
"""

from __future__ import annotations

from importlib.resources import files

SAMPLE_NAME = "Sample: tok"
SAMPLE_TRIGGER_WORD = "tok"


def sample_files() -> list[tuple[str, bytes]]:
    """Names and contents of the sample's pictures and captions, in order."""
    folder = files("fluxsmith.samples") / "tok"
    found = [item for item in folder.iterdir() if item.name.endswith((".png", ".txt"))]
    return [(item.name, item.read_bytes()) for item in sorted(found, key=lambda item: item.name)]
