"""The one place that reads the environment and the `.env` file.

`EnvManager` finds a variable, says where it came from, and turns its text into a value within bounds,
or explains in words why it cannot. It knows no setting by name; those are in `settings.py`.
The real environment wins over `.env`, as with python-dotenv's `override=False`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from fluxsmith.errors import ConfigError

ENVIRONMENT = "environment"
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
SHOWN_CHARACTERS = 80  # of a wrong value in an error


@dataclass(frozen=True)
class Reading:
    """The text of a variable and where it came from: `environment` or the path of a `.env` file."""

    name: str
    text: str
    source: str


class EnvManager:
    """Typed, bounded access to environment variables, with errors that tell what to change.

    Args:
        environ: instead of the process's own environment, for tests.
        dotenv: a file of further variables; one that does not exist is no error.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, dotenv: Path | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._dotenv = dotenv
        self._file = _read_dotenv(dotenv) if dotenv is not None else {}

    @classmethod
    def of_process(cls) -> EnvManager:
        """The environment of this process and the `.env` file in its working directory."""
        return cls(dotenv=Path.cwd() / ".env")

    def find(self, *names: str) -> Reading | None:
        """The first of these variables that is set to something; earlier names win, then the environment."""
        for name in names:
            if text := self._environ.get(name, "").strip():
                return Reading(name, text, ENVIRONMENT)
            if text := self._file.get(name, "").strip():
                return Reading(name, text, str(self._dotenv))
        return None

    def names(self, prefix: str) -> dict[str, str]:
        """Names of all variables that begin with `prefix`, each with its source."""
        found = {name: str(self._dotenv) for name in self._file if name.startswith(prefix)}
        return found | {name: ENVIRONMENT for name in self._environ if name.startswith(prefix)}

    def for_child(self, changes: Mapping[str, str]) -> dict[str, str]:
        """The environment for a child process: this one with `changes`."""
        return {**self._environ, **changes}

    def get(self, *names: str, default: str | None = None) -> str | None:
        """The text of a variable, or `default` if none of `names` is set."""
        reading = self.find(*names)
        return default if reading is None else reading.text

    def get_bool(self, *names: str, default: bool | None = None) -> bool | None:
        """A yes or no.

        Raises:
            ConfigError: it is neither.
        """
        reading = self.find(*names)
        if reading is None:
            return default
        text = reading.text.lower()
        if text in TRUE | FALSE:
            return text in TRUE
        raise wrong(reading, "yes or no (1, true, yes, on, 0, false, no or off)")

    def get_int(
        self, *names: str, default: int | None = None, at_least: int | None = None, at_most: int | None = None
    ) -> int | None:
        """A whole number within bounds.

        Raises:
            ConfigError: it is no such number.
        """
        reading = self.find(*names)
        if reading is None:
            return default
        try:
            value = int(reading.text)
        except ValueError:
            value = None
        if value is None or not _within(value, at_least, at_most):
            raise wrong(reading, f"a whole number{_bounds(at_least, at_most)}")
        return value

    def get_float(
        self,
        *names: str,
        default: float | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> float | None:
        """A finite number within bounds.

        Raises:
            ConfigError: it is no such number.
        """
        reading = self.find(*names)
        if reading is None:
            return default
        try:
            value = float(reading.text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not _within(value, at_least, at_most):
            raise wrong(reading, f"a number{_bounds(at_least, at_most)}")
        return value

    def get_list(
        self, *names: str, default: tuple[str, ...] = (), at_most: int | None = None
    ) -> tuple[str, ...]:
        """Words separated by commas, without blanks around them.

        Raises:
            ConfigError: there are more than `at_most`.
        """
        reading = self.find(*names)
        if reading is None:
            return default
        words = tuple(word.strip() for word in reading.text.split(",") if word.strip())
        if at_most is not None and len(words) > at_most:
            raise wrong(reading, f"at most {at_most} words separated by commas")
        return words


def wrong(reading: Reading, expected: str, *, secret: bool = False) -> ConfigError:
    """The error for a variable whose text is not what was expected."""
    shown = "(hidden)" if secret else f"'{_shortened(reading.text)}'"
    return ConfigError(
        "setting-invalid",
        f"{reading.name} is {shown} (from {place(reading.source)}); it must be {expected}.",
        hint=f"Correct {reading.name} there, or remove it to use the default.",
        field=reading.name,
    )


def place(source: str) -> str:
    """Where a value came from, in words."""
    return "the environment" if source == ENVIRONMENT else source


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _within(value: float, at_least: float | None, at_most: float | None) -> bool:
    return (at_least is None or value >= at_least) and (at_most is None or value <= at_most)


def _bounds(at_least: float | None, at_most: float | None) -> str:
    if at_least is not None and at_most is not None:
        return f" from {at_least} to {at_most}"
    if at_least is not None:
        return f" of at least {at_least}"
    return f" of at most {at_most}" if at_most is not None else ""


def _read_dotenv(path: Path) -> dict[str, str]:
    try:
        if not path.is_file():
            return {}
        values = dotenv_values(path, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error}"
        raise ConfigError(
            "dotenv-unreadable",
            f"{path} {reason}.",
            hint="Correct the file or its permissions, or remove it.",
        ) from error
    return {name: value for name, value in values.items() if value is not None}
