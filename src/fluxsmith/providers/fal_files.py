"""Files to and from fal: pictures up to its store, LoRAs home.

An upload is asked for (`storage/upload/initiate`), then sent to a signed address. Addresses that fal names
must be public ones, or on the very host that is set; the key goes to none of them. A LoRA is kept only if
it is one, in safetensors, and not too large.
"""

from __future__ import annotations

from pathlib import Path

import httpx
from pydantic import BaseModel, ConfigDict

from fluxsmith.core.api_faults import FAL, failure, fault
from fluxsmith.core.api_service import APIService, Check
from fluxsmith.core.lora_file import check_lora_file
from fluxsmith.core.outbound import Outbound
from fluxsmith.core.storage_errors import storage_error
from fluxsmith.errors import APIError, PermissionDenied, ValidationError

UPLOAD_S = 1800.0
LORA_BYTES = 2_000_000_000  # the largest that trainers of FLUX.2 [dev] were seen to write has 0.8 GB
LORA_S = 3600.0
_LOOK_UP_S = 10.0


class _Upload(BaseModel):
    model_config = ConfigDict(extra="ignore")

    upload_url: str
    file_url: str


class FalFiles:
    """Sends and fetches files by addresses that fal names."""

    def __init__(self, store: APIService) -> None:
        self._store = store
        self._outbound = Outbound(allow_private=False, limit_s=_LOOK_UP_S)

    def guard(self, url: httpx.URL) -> None:
        """Refuse an address inside this server's own network, unless it is the host that is set.

        Raises:
            APIError: it is one, or its name is not known.
        """
        if (url.scheme, url.host, url.port) == (
            self._store.base.scheme,
            self._store.base.host,
            self._store.base.port,
        ):
            return
        try:
            self._outbound.check(str(url), field="address")
            self._outbound.addresses(url.host, url.port or (443 if url.scheme == "https" else 80))
        except (ValidationError, PermissionDenied) as error:
            row = fault("api-answer-unknown")
            said = "an address that is not public"
            raise failure(row, self._store.host, said=said, service=FAL) from error

    def send(self, name: str, data: bytes, content_type: str, check: Check) -> str:
        """Put a file into fal's store and return its address there.

        Raises:
            APIError: any row of the table.
        """
        body = {"file_name": name, "content_type": content_type}
        place = self._store.post(_Upload, "/storage/upload/initiate?storage_type=gcs", body, check=check)
        self._store.upload(
            place.upload_url, data, content_type, total_s=UPLOAD_S, check=check, guard=self.guard
        )
        return place.file_url

    def fetch_lora(self, address: str, path: Path, task_id: str, check: Check) -> None:
        """Fetch the LoRA of a task to `path`, and check it.

        Raises:
            APIError: `task-lora-too-large`, `task-lora-unreadable`, or any row that it cannot be fetched by.
            StorageError: the disk refuses.
        """
        try:
            self._store.save(
                address, path, limit_bytes=LORA_BYTES, total_s=LORA_S, check=check, guard=self.guard
            )
            check_lora_file(path)
        except APIError as error:
            if error.code != "api-answer-too-large":
                raise
            row = fault("task-lora-too-large")
            raise failure(row, self._store.host, limit_bytes=LORA_BYTES, task=task_id) from error
        except ValidationError as error:
            path.unlink(missing_ok=True)
            row = fault("task-lora-unreadable")
            raise failure(row, self._store.host, task=task_id, said=error.message) from error
        except OSError as error:
            raise storage_error(error, path) from error
