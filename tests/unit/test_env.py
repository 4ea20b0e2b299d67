"""EnvManager: where a value comes from, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluxsmith.config.env import EnvManager
from fluxsmith.errors import ConfigError


def test_the_real_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=1\nNAME=from the file\n")
    env = EnvManager({"PORT": "2"}, file)
    assert env.get_int("PORT") == 2
    assert env.get("NAME") == "from the file"


def test_an_env_file_changes_nothing_in_the_real_environment(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("FLUXSMITH_SOMETHING=1\n")
    environ: dict[str, str] = {}
    EnvManager(environ, file)
    assert environ == {}


def test_a_variable_set_to_nothing_counts_as_unset(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=3\n")
    assert EnvManager({"PORT": " "}, file).get_int("PORT") == 3
    assert EnvManager({"PORT": ""}).get_int("PORT", default=7) == 7


def test_a_dollar_sign_in_a_secret_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('KEY="a${HOME}b"\n')
    assert EnvManager({"HOME": "/root"}, file).get("KEY") == "a${HOME}b"


@pytest.mark.parametrize("text", ["1", "true", "Yes", "ON"])
def test_yes_is_understood(text: str) -> None:
    assert EnvManager({"X": text}).get_bool("X") is True


@pytest.mark.parametrize("text", ["0", "false", "No", "off"])
def test_no_is_understood(text: str) -> None:
    assert EnvManager({"X": text}).get_bool("X", default=True) is False


def test_lists_are_split_at_commas_without_blanks() -> None:
    assert EnvManager({"X": " a, b ,,c "}).get_list("X") == ("a", "b", "c")
    assert EnvManager({}).get_list("X", default=("d",)) == ("d",)


def test_numbers_are_read() -> None:
    env = EnvManager({"I": "12", "F": "0.5"})
    assert env.get_int("I", at_least=12, at_most=12) == 12
    assert env.get_float("F", at_least=0, at_most=1) == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", "whole number from 1 to 9"),
        ("10", "from 1 to 9"),
        ("0", "from 1 to 9"),
        ("1.5", "whole number"),
    ],
)
def test_a_wrong_whole_number_is_named_with_its_place_and_its_bounds(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EnvManager({"PORT": text}).get_int("PORT", at_least=1, at_most=9)
    assert caught.value.message.startswith(f"PORT is '{text}' (from the environment)")
    assert expected in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["nan", "inf", "x", "-1"])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be a number of at least 0"):
        EnvManager({"X": text}).get_float("X", at_least=0)


def test_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(ConfigError, match="yes or no"):
        EnvManager({"X": "perhaps"}).get_bool("X")


def test_too_long_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match="at most 1 words"):
        EnvManager({"X": "a,b"}).get_list("X", at_most=1)


def test_an_error_names_the_env_file_that_the_value_is_from(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=x\n")
    with pytest.raises(ConfigError) as caught:
        EnvManager({}, file).get_int("PORT")
    assert str(file) in caught.value.message


def test_an_env_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        EnvManager({}, file)
    assert str(file) in caught.value.message
