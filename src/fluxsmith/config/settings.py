"""Every setting: its default, unit, help and bounds. Nothing else in the house has a default of its own.

A setting `log_level` is the variable FLUXSMITH_LOG_LEVEL; keys are also read under the names that other
tools use. `Settings.load()` reads, `Settings(...)` only takes what it is given. `ConfigService` shows
settings to people; `fluxsmith config` and `.env.example` are made from it.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from fluxsmith.config.env import EnvManager
from fluxsmith.config.source import EnvSource, explain, is_secret, variables
from fluxsmith.errors import ConfigError

APP = "fluxsmith"
COMMAND_LINE = "command line"
DEFAULT = "default"


class Settings(BaseSettings):
    """What this installation is set to; immutable once made."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    host: str = Field("127.0.0.1", description="Address that the server listens on; loopback only.")
    port: int = Field(7860, ge=1, le=65_535, description="Port that the server listens on.")
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path(APP, appauthor=False),
        description="Folder of the database, files and keys.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/name; "
        "empty for a SQLite file in the data folder.",
    )
    device: str = Field(
        "auto",
        description="Where models run: auto (a GPU if there is one), cpu, cuda, or one of several: cuda:1.",
    )
    model: str = Field("nano", min_length=1, description="Base model that is chosen at first.")
    models_dir: Path | None = Field(
        None, description="Folder with further base models, one folder of diffusers weights each."
    )
    workers: int = Field(
        1, ge=0, le=16, description="Worker processes that the server keeps; 0 if they are started elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of lines in the log."
    )
    log_format: Literal["pretty", "json"] = Field("pretty", description="How lines of the log look.")
    public_url: str | None = Field(
        None, description="Address under which others reach the server, for links in answers."
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Signs links to result files; empty for a key that is made in the data folder.",
    )
    result_ttl_s: int = Field(
        600,
        ge=10,
        le=86_400,
        description="How long a link to a result file is valid.",
        json_schema_extra={"unit": "s"},
    )
    max_active_tasks: int = Field(
        24, ge=1, le=10_000, description="Tasks that may wait or run at once: generations and finetunes."
    )
    safety_checker: str = Field(
        "words",
        min_length=1,
        description="What looks at prompts that come with a safety tolerance: words (a short list), none, or "
        "the name of a plug-in.",
    )
    allow_private_addresses: bool = Field(
        False,
        description="Whether webhooks, and pictures named by their address, may be at private, loopback and "
        "link-local addresses; true lets whoever may send requests reach your own network.",
    )
    webhook_timeout_s: float = Field(
        10,
        gt=0,
        le=120,
        description="How long the receiver of a webhook may take to answer.",
        json_schema_extra={"unit": "s"},
    )
    webhook_retry_s: float = Field(
        5,
        gt=0,
        le=3600,
        description="Longest wait before a webhook is sent again; it doubles with each attempt.",
        json_schema_extra={"unit": "s"},
    )
    webhook_retry_most_s: float = Field(
        3600,
        gt=0,
        le=86_400,
        description="Longest wait between two attempts to send a webhook.",
        json_schema_extra={"unit": "s"},
    )
    webhook_retry_for_s: float = Field(
        86_400,
        ge=0,
        le=604_800,
        description="How long a webhook is tried before it is given up.",
        json_schema_extra={"unit": "s"},
    )
    check_min_pictures: int = Field(
        5, ge=1, le=1000, description="Fewer pictures than this in a set are remarked upon."
    )
    check_max_pictures: int = Field(
        60, ge=1, le=100_000, description="More pictures than this in a set are remarked upon."
    )
    check_min_scale: float = Field(
        0.75,
        gt=0,
        le=4,
        description="Pictures are too small whose shorter side is below this share of the side trained at.",
    )
    check_min_sharpness: float = Field(
        0.12,
        ge=0,
        le=4,
        description="Pictures are blurred whose sharpest edge, as a share of the contrast, is below this.",
    )
    check_min_bright: float = Field(
        70, ge=0, le=255, description="Pictures are too dark whose brightest twentieth is below this luma."
    )
    check_max_dark: float = Field(
        150, ge=0, le=255, description="Pictures are washed out whose darkest twentieth is above this luma."
    )
    check_max_blockiness: float = Field(
        1.5, ge=1, le=100, description="Pictures show JPEG blocks whose block grid is this much stronger."
    )
    check_max_bars: float = Field(
        0.05, ge=0, le=1, description="Share of a side that black bars at both ends may take."
    )
    check_max_cut: float = Field(
        0.4, ge=0, le=1, description="Share of the longer side that may be cut off in training."
    )
    check_same_share: float = Field(
        0.04, ge=0, le=0.5, description="Pictures are near duplicates that differ in at most this share."
    )
    max_upload_mb: int = Field(
        200,
        ge=1,
        le=4096,
        description="Largest body of a request.",
        json_schema_extra={"unit": "MB"},
    )
    max_lora_mb: int = Field(
        2000,
        ge=1,
        le=20_000,
        description="Largest LoRA file that can be imported.",
        json_schema_extra={"unit": "MB"},
    )
    train_memory_limit_mb: int = Field(
        0,
        ge=0,
        description="Memory that a training may take before it is stopped with a clear error; "
        "0 for no limit.",
        json_schema_extra={"unit": "MB"},
    )
    bfl_api_key: SecretStr | None = Field(
        None,
        description="Key of BFL's cloud, or of another fluxsmith; with it, that host's models can be drawn "
        "with. Kept out of logs.",
    )
    bfl_base_url: str = Field(
        "https://api.bfl.ai",
        description="Host that the key is for: BFL's cloud, one of its regions (https://api.eu.bfl.ai, "
        "https://api.us.bfl.ai), or the address of another fluxsmith.",
    )
    fal_key: SecretStr | None = Field(
        None,
        description="Key of fal.ai; with it, FLUX.2 and FLUX.3 [klein] and FLUX.2 [dev] can be finetuned and "
        "drawn with there, for money. Kept out of logs.",
    )
    fal_base_url: str | None = Field(
        None,
        description="One host that stands for fal's own (queue.fal.run, rest.fal.ai, api.fal.ai), such as a "
        "proxy of yours; empty for fal's.",
    )
    hf_token: SecretStr | None = Field(None, description="Token of the Hugging Face hub; kept out of logs.")

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls, env: EnvManager | None = None, **overrides: Any) -> Settings:
        """Read all settings; `overrides` come from the command line and win, None means not given.

        Raises:
            ConfigError: one is wrong; the message names it, its value and where it came from.
        """
        source = EnvSource(cls, env or EnvManager.of_process())
        given = {name: value for name, value in overrides.items() if value is not None}
        values = {**source(), **given}
        try:
            settings = cls(**values)
        except ValidationError as error:
            raise explain(error, source, values) from error
        settings._sources.update({name: reading.source for name, reading in source.readings.items()})
        settings._sources.update(dict.fromkeys(given, COMMAND_LINE))
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: `load` reads the environment, through EnvManager."""
        return (init_settings,)

    @property
    def resolved_database_url(self) -> str:
        """The database's address, the default filled in."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'fluxsmith.db'}"

    @property
    def url(self) -> str:
        """Where this machine's browser reaches the server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def secrets(self) -> tuple[str, ...]:
        """All secret values that are set: what must never be logged."""
        values = (getattr(self, name) for name in type(self).model_fields)
        found = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        password = urlsplit(self.resolved_database_url).password
        return (*found, unquote(password), password) if password else tuple(found)

    def source_of(self, name: str) -> str:
        """Where the value of a setting came from."""
        given = DEFAULT if name not in self.model_fields_set else "code"
        return self._sources.get(name, given)

    def for_child(self) -> dict[str, str]:
        """The environment in which a child process loads these very settings."""
        changes = {
            variables(name)[0]: _plain(getattr(self, name))
            for name in self.model_fields_set
            if getattr(self, name) is not None
        }
        return EnvManager().for_child(changes)

    @field_validator("host")
    @classmethod
    def _only_loopback(cls, value: str) -> str:
        try:
            loopback = value == "localhost" or ipaddress.ip_address(value).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise PydanticCustomError(
                "host-not-loopback",
                "an address that only this machine can reach (127.0.0.1, ::1 or localhost), "
                "because there are no accounts yet that would keep strangers out",
                {
                    "hint": "Keep 127.0.0.1, and reach it from elsewhere through an SSH tunnel "
                    "(ssh -L 7860:127.0.0.1:7860 user@server) or a reverse proxy that asks for a password."
                },
            )
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value.lower()):
            raise PydanticCustomError("setting-invalid", "auto, cpu, cuda or cuda:N")
        return value.lower()

    @field_validator("public_url", "bfl_base_url", "fal_base_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
            raise PydanticCustomError("setting-invalid", "an address such as https://studio.example.org")
        return None if value is None else value.rstrip("/")

    @field_validator("data_dir", "models_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else Path(value).expanduser().absolute()


class SettingView(BaseModel):
    """One setting as people see it; a secret's value is hidden."""

    model_config = ConfigDict(frozen=True)

    name: str
    env: str
    value: str
    source: str
    unit: str
    help: str


class ConfigService:
    """Shows the settings and where each came from; secrets are never shown."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def items(self) -> list[SettingView]:
        """All settings, in their order."""
        return [self._view(name) for name in Settings.model_fields]

    def get(self, name: str) -> SettingView:
        """One setting by its name or its variable.

        Raises:
            ConfigError: there is no such setting.
        """
        found = next((view for view in self.items() if name in (view.name, view.env)), None)
        if found is None:
            raise ConfigError(
                "setting-unknown",
                f"There is no setting '{name}'.",
                hint="`fluxsmith config` lists all settings.",
            )
        return found

    def _view(self, name: str) -> SettingView:
        field = Settings.model_fields[name]
        value = getattr(self.settings, name)
        hidden = is_secret(field) and value is not None
        return SettingView(
            name=name,
            env=variables(name)[0],
            value="(hidden)" if hidden else _plain(value),
            source=self.settings.source_of(name),
            unit=unit_of(name),
            help=field.description or "",
        )


def unit_of(name: str) -> str:
    """The unit of a setting, empty if it has none."""
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def _plain(value: object) -> str:
    if value is None:
        return ""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
