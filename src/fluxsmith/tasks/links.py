"""Links to result files that nobody can guess and that end by themselves.

Who has a link has the picture, so it names nothing else and lives as long as the setting says. The key
is the setting's, or one made once in the data folder.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from fluxsmith.config.settings import Settings
from fluxsmith.core.storage_errors import storage_error
from fluxsmith.errors import PermissionDenied

KEY_FILE = "secret.key"
_PURPOSE = "fluxsmith.result-file"
_ENDINGS = {"jpeg": "jpg", "png": "png"}


@dataclass(frozen=True)
class ResultFile:
    """One picture of a generation, in a format."""

    generation_id: str
    index: int
    output_format: Literal["jpeg", "png"]


class ResultLinks:
    """Makes and reads the paths of result files."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def path(self, file: ResultFile) -> str:
        """The path of a result file, valid from now on for `result_ttl_s`."""
        token = self._serializer.dumps([file.generation_id, file.index, file.output_format])
        return f"/files/{token}/sample.{_ENDINGS[file.output_format]}"

    def read(self, token: str) -> ResultFile:
        """What a token names.

        Raises:
            PermissionDenied: it has expired, or we did not make it.
        """
        try:
            values = self._serializer.loads(token, max_age=self._settings.result_ttl_s)
        except SignatureExpired as error:
            raise PermissionDenied(
                "link-expired",
                f"This link has expired: links to results live {self._settings.result_ttl_s} seconds.",
                hint="Ask get_result again for a fresh one.",
            ) from error
        except BadSignature as error:
            raise PermissionDenied(
                "link-invalid", "This link is not one of this server's.", hint="Copy the whole link."
            ) from error
        generation_id, index, output_format = values
        return ResultFile(generation_id, index, cast(Literal["jpeg", "png"], output_format))

    @cached_property
    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(link_key(self._settings), salt=_PURPOSE)


def link_key(settings: Settings) -> str:
    """The key that signs links; made in the data folder at the first call.

    Raises:
        StorageError: the data folder refuses.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    path = settings.data_dir / KEY_FILE
    try:
        if not path.exists():
            _make_key(path)
        return path.read_text("ascii")
    except OSError as error:
        raise storage_error(error, path) from error


def _make_key(path: Path) -> None:
    """Write a key whole or not at all; of two processes that do it at once, the first wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{KEY_FILE}-", dir=path.parent)  # readable by us alone
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
