"""The text of `.env.example`, made from the settings so that it can never tell anything else."""

from __future__ import annotations

import textwrap

from pydantic_core import PydanticUndefined

from fluxsmith.config.settings import Settings, unit_of
from fluxsmith.config.source import variables

HEAD = """\
# Settings of fluxsmith. Copy this file to `.env` beside it and change what you need;
# variables of the real environment win over this file. `fluxsmith config` shows what holds.
"""


def example_env() -> str:
    """Every setting with its meaning and default, commented out."""
    return HEAD + "".join(_entry(name) for name in Settings.model_fields)


def _entry(name: str) -> str:
    field = Settings.model_fields[name]
    unit = unit_of(name)
    words = (field.description or "") + (f" In {unit}." if unit else "")
    default = field.default
    if field.default_factory is not None:
        words += " By default your system's folder for user data."
    shown = "" if default is None or default is PydanticUndefined else str(default)
    comment = "\n".join(f"# {line}" for line in textwrap.wrap(words, 98))
    return f"\n{comment}\n#{variables(name)[0]}={shown}\n"
