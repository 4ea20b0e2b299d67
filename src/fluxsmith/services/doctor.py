"""Checks of a machine and an installation, each with what was found and, if bad, the next thing to do.

Reads and measures; changes nothing but a file that it writes into the data folder and removes again.
The shell's `doctor` shows these; nothing here decides how they look.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict

from fluxsmith.config.env import EnvManager
from fluxsmith.config.settings import Settings
from fluxsmith.config.source import PREFIX, variables
from fluxsmith.core.api_retry import RetryPolicy
from fluxsmith.core.database import Database
from fluxsmith.core.storage import StorageService
from fluxsmith.errors import APIError, FluxsmithError
from fluxsmith.providers.bfl import Credits, service_at
from fluxsmith.providers.bfl_catalogue import find_offer
from fluxsmith.providers.bfl_finetune import Finetunes
from fluxsmith.providers.local import LocalProvider

GIB = 1024**3
LEAST_MEMORY = 2 * GIB  # server, worker and training were seen at 0.24 + 0.50 + 0.41 GB with small weights
LEAST_DISK = 1 * GIB

State = Literal["ok", "warning", "bad"]


class Check(BaseModel):
    """One thing that was looked at; `todo` is empty if there is nothing to do."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: State
    found: str
    todo: str = ""


def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which one would repair what is bad."""
    local = LocalProvider(settings.models_dir, settings.device)
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("settings", lambda: _settings(EnvManager.of_process())),
        ("cores", _cores),
        ("memory", _memory),
        ("data folder", lambda: _folder(settings.data_dir)),
        ("disk", lambda: _disk(settings.data_dir)),
        ("database", lambda: _database(settings)),
        ("storage", lambda: _storage(settings.data_dir)),
        ("engine", _engine),
        ("device", lambda: Check(name="device", state="ok", found=local.device_name())),
        ("weights", lambda: _weights(local, settings)),
        ("port", lambda: _port(settings)),
        ("key", lambda: _key(settings)),
    ]
    if settings.bfl_api_key is not None:
        key = settings.bfl_api_key.get_secret_value()
        checks.append(("bfl", lambda: _bfl(settings.bfl_base_url, key)))
    return [_checked(name, check) for name, check in checks]


def _checked(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except FluxsmithError as error:
        return Check(name=name, state="bad", found=error.message, todo=error.hint)
    except OSError as error:
        return Check(name=name, state="bad", found=str(error), todo="Check this file or folder.")


def _python() -> Check:
    found = f"{platform.python_version()} at {sys.executable}"
    return Check(name="python", state="ok", found=found)


def _settings(env: EnvManager) -> Check:
    known = {name for field in Settings.model_fields for name in variables(field)}
    unknown = sorted(set(env.names(PREFIX)) - known)
    if not unknown:
        return Check(name="settings", state="ok", found="all known and valid")
    return Check(
        name="settings",
        state="warning",
        found=f"not known: {', '.join(unknown)}",
        todo="Correct the names (`fluxsmith config` lists all), or remove them.",
    )


def _cores() -> Check:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check(name="cores", state="ok", found=f"{allowed} of {os.cpu_count()}, {platform.machine()}")


def _memory() -> Check:
    memory = psutil.virtual_memory()
    found = f"{memory.available / GIB:.1f} GiB free of {memory.total / GIB:.1f} GiB"
    if memory.available >= LEAST_MEMORY:
        return Check(name="memory", state="ok", found=found)
    todo = f"End other programs: training the embedded model wants {LEAST_MEMORY / GIB:.0f} GiB."
    return Check(name="memory", state="bad", found=found, todo=todo)


def _disk(folder: Path) -> Check:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(there)
    found = f"{usage.free / GIB:.1f} GiB free of {usage.total / GIB:.1f} GiB"
    if usage.free >= LEAST_DISK:
        return Check(name="disk", state="ok", found=found)
    return Check(
        name="disk", state="bad", found=found, todo="Make room, or set FLUXSMITH_DATA_DIR to a larger disk."
    )


def _folder(folder: Path) -> Check:
    todo = "Give your user write access to it, or set FLUXSMITH_DATA_DIR to another folder."
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-"):
            pass
    except OSError as error:
        found = f"{folder} cannot be written: {error.strerror}"
        return Check(name="data folder", state="bad", found=found, todo=todo)
    if folder.stat().st_mode & 0o077:
        return Check(
            name="data folder",
            state="warning",
            found=f"{folder} can be entered by other users of this machine",
            todo=f"chmod 700 {folder}",
        )
    return Check(name="data folder", state="ok", found=f"{folder}, yours alone")


def _database(settings: Settings) -> Check:
    db = Database(settings.resolved_database_url)
    try:
        if db.path is not None and not db.path.exists():
            return Check(name="database", state="ok", found=f"{db.path} will be made at the first start")
        db.check()
        where = db.url.render_as_string(hide_password=True)
        if db.pending():
            todo = "`fluxsmith db migrate`, or just start the server."
            return Check(name="database", state="warning", found=f"{where} has to be migrated", todo=todo)
        return Check(name="database", state="ok", found=f"{where}, up to date")
    finally:
        db.close()


def _storage(data_dir: Path) -> Check:
    storage, key = StorageService(data_dir / "files"), "doctor/probe"
    try:
        storage.put(key, b"fluxsmith")
        whole = storage.get(key) == b"fluxsmith"
    finally:
        storage.delete_prefix("doctor/")
    if whole:
        return Check(name="storage", state="ok", found="a file came back as it was written")
    return Check(
        name="storage", state="bad", found="a file came back changed", todo="Check the disk for errors."
    )


def _engine() -> Check:
    if importlib.util.find_spec("torch") is None:
        return Check(
            name="engine",
            state="bad",
            found="torch is not installed, so nothing can be trained or drawn here",
            todo="Install with the engine: pip install 'fluxsmith[engine]'.",
        )
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("torch", "diffusers", "peft"))
    return Check(name="engine", state="ok", found=", ".join(versions))


def _weights(local: LocalProvider, settings: Settings) -> Check:
    if find_offer(settings.model) is not None:
        return Check(name="weights", state="ok", found=f"{settings.model} is drawn with elsewhere")
    local.check(settings.model)
    folder = local.folder_of(settings.model)
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        return Check(
            name="weights", state="ok", found=f"{settings.model} at {folder}, whole; it has no SHA256SUMS"
        )
    lines = [line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines() if line.strip()]
    wrong = [name for digest, name in lines if not _has_digest(folder / name, digest)]
    if not wrong:
        return Check(
            name="weights", state="ok", found=f"{settings.model} at {folder}, {len(lines)} files verified"
        )
    return Check(
        name="weights",
        state="bad",
        found=f"damaged or missing in {folder}: {', '.join(wrong)}",
        todo="Install the package again, or copy the model's folder again.",
    )


def _has_digest(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def _port(settings: Settings) -> Check:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            return Check(
                name="port",
                state="warning" if taken else "bad",
                found=f"{settings.host}:{settings.port} "
                + ("is in use; perhaps fluxsmith runs already" if taken else f"refused: {error.strerror}"),
                todo="Choose another with FLUXSMITH_PORT if it is not fluxsmith.",
            )
    return Check(name="port", state="ok", found=f"{settings.host}:{settings.port} is free")


def _key(settings: Settings) -> Check:
    given = [name for name in ("bfl_api_key", "fal_key", "hf_token") if getattr(settings, name) is not None]
    if not given:
        return Check(name="key", state="ok", found="none set; none is needed to work on this machine")
    sources = ", ".join(f"{name} from {settings.source_of(name)}" for name in given)
    return Check(name="key", state="ok", found=sources)


def _bfl(url: str, key: str) -> Check:
    """Whether the host that the key is for answers and takes the key; asks nothing that costs."""
    api = service_at(url, key, retry=RetryPolicy(attempts=1))
    try:
        credits = api.get(Credits, "/v1/credits").credits
        return Check(name="bfl", state="ok", found=f"{url} takes the key; {credits:g} credits are left")
    except APIError as error:
        if error.code != "api-no-such-endpoint":
            raise
        finetunes = api.get(Finetunes, "/v1/my_finetunes").finetunes  # another fluxsmith counts no credits
        return Check(name="bfl", state="ok", found=f"{url} takes the key; it has {len(finetunes)} finetunes")
    finally:
        api.close()
