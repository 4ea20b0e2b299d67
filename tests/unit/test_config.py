"""Settings and ConfigService: what holds, where it came from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluxsmith.config.env import EnvManager
from fluxsmith.config.example import example_env
from fluxsmith.config.settings import ConfigService, Settings
from fluxsmith.config.source import variables
from fluxsmith.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent


def load(**environ: str) -> Settings:
    return Settings.load(EnvManager(environ))


def test_defaults_are_those_of_a_laptop() -> None:
    settings = load()
    assert (settings.host, settings.port, settings.model, settings.device) == (
        "127.0.0.1",
        7860,
        "nano",
        "auto",
    )
    assert settings.data_dir.is_absolute()
    assert settings.resolved_database_url == f"sqlite:///{settings.data_dir / 'fluxsmith.db'}"


def test_a_setting_is_read_from_its_variable_and_tells_so(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("FLUXSMITH_WORKERS=2\n")
    settings = Settings.load(EnvManager({"FLUXSMITH_PORT": "9000"}, file), host="::1")
    views = {view.name: view for view in ConfigService(settings).items()}
    assert (views["port"].value, views["port"].source) == ("9000", "environment")
    assert (views["workers"].value, views["workers"].source) == ("2", str(file))
    assert (views["host"].value, views["host"].source) == ("::1", "command line")
    assert views["model"].source == "default"


@pytest.mark.parametrize("name", ["bfl_api_key", "fal_key", "hf_token"])
def test_keys_are_read_under_the_names_that_other_tools_use(name: str) -> None:
    own, foreign = variables(name)
    key = getattr(load(**{foreign: "theirs"}), name)
    assert key.get_secret_value() == "theirs"
    assert getattr(load(**{foreign: "theirs", own: "ours"}), name).get_secret_value() == "ours"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "::"])
def test_an_address_that_others_can_reach_is_refused_with_the_ways_around(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(FLUXSMITH_HOST=host)
    assert caught.value.code == "host-not-loopback"
    assert f"FLUXSMITH_HOST is '{host}' (from the environment)" in caught.value.message
    assert "SSH tunnel" in caught.value.hint
    assert "reverse proxy" in caught.value.hint


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "localhost", "::1"])
def test_loopback_addresses_are_allowed(host: str) -> None:
    assert load(FLUXSMITH_HOST=host).host == host


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("FLUXSMITH_PORT", "70000", "from 1 to 65535"),
        ("FLUXSMITH_PORT", "http", "whole number"),
        ("FLUXSMITH_LOG_FORMAT", "xml", "'pretty' or 'json'"),
        ("FLUXSMITH_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("FLUXSMITH_DEVICE", "toaster", "cuda"),
        ("FLUXSMITH_PUBLIC_URL", "studio", "https://"),
        ("FLUXSMITH_RESULT_TTL_S", "1", "from 10 to 86400"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(variable: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(**{variable: text})
    assert f"{variable} is '{text}' (from the environment)" in caught.value.message
    assert words in caught.value.message
    assert caught.value.exit_code == 78


def test_a_wrong_secret_is_never_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        load(FLUXSMITH_SECRET_KEY="too-short")
    assert "too-short" not in str(caught.value)
    assert "FLUXSMITH_SECRET_KEY is (hidden)" in caught.value.message


def test_a_wrong_option_of_the_command_line_is_told_as_such() -> None:
    with pytest.raises(ConfigError, match="from the command line"):
        Settings.load(EnvManager({}), port=0)


def test_secrets_are_hidden_wherever_settings_are_shown() -> None:
    marked = "marked-secret-0123456789-0123456789"
    names = ("FLUXSMITH_SECRET_KEY", "BFL_API_KEY", "FAL_KEY", "HF_TOKEN")
    url = f"postgresql+psycopg://me:{marked}@db/x"
    settings = load(**dict.fromkeys(names, marked), FLUXSMITH_DATABASE_URL=url)
    shown = [view.model_dump_json() for view in ConfigService(settings).items()]
    assert marked not in repr(settings) + str(settings) + "".join(shown) + settings.model_dump_json()
    assert marked in settings.secrets()


def test_the_password_of_the_database_is_a_secret_of_its_own() -> None:
    settings = load(FLUXSMITH_DATABASE_URL="postgresql+psycopg://me:p%40ssword@db/x")
    assert {"p@ssword", "p%40ssword"} <= set(settings.secrets())


def test_a_child_process_loads_the_same_settings(tmp_path: Path) -> None:
    settings = Settings.load(
        EnvManager({"BFL_API_KEY": "k" * 20, "FLUXSMITH_PORT": "9001"}), data_dir=tmp_path, workers=3
    )
    again = Settings.load(EnvManager(settings.for_child()))
    assert again.model_dump(exclude={"log_level"}) == settings.model_dump(exclude={"log_level"})


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'colour'"):
        ConfigService(load()).get("colour")


def test_every_setting_explains_itself() -> None:
    assert all(view.help.endswith(".") for view in ConfigService(load()).items())


def test_the_example_file_is_the_one_that_the_settings_make() -> None:
    assert (ROOT / ".env.example").read_text() == example_env()
