"""Lists, finds and deletes models. Making one is the finetuning service's work."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from fluxsmith.core.actor import Actor
from fluxsmith.core.database import Database
from fluxsmith.core.storage import StorageService
from fluxsmith.core.tables import ModelRow
from fluxsmith.errors import ConflictError, FluxsmithError, NotFoundError, UnsupportedError
from fluxsmith.providers.base import BaseModelInfo, LoraPlace
from fluxsmith.providers.registry import ProviderRegistry
from fluxsmith.services.models import repository
from fluxsmith.services.models.schema import LinkRequest, Model

ENDINGS = {"failed": "failed", "cancelled": "been cancelled"}


class ModelService:
    """Everything that can be drawn with."""

    def __init__(self, db: Database, storage: StorageService, providers: ProviderRegistry) -> None:
        self._db = db
        self._storage = storage
        self._providers = providers

    def list(self, actor: Actor) -> list[Model]:
        """Base models that draw or can be trained first, then the actor's LoRAs, newest first."""
        with self._db.reading() as session:
            rows = repository.of_owner(session, actor.id)
        bases = {info.name: info for info in self._providers.models()}
        shown = [info for info in bases.values() if info.drawable or info.trainable]
        return [*map(_base, shown), *(_lora(row, bases.get(row.base_model)) for row in rows)]

    def get(self, actor: Actor, model_id: str) -> Model:
        """One model: a base model by name or a LoRA by id.

        Raises:
            NotFoundError: there is none, or it is not the actor's.
            ConflictError: it was deleted.
        """
        info = self._providers.find_model(model_id)
        if info is not None:
            return _base(info)
        with self._db.reading() as session:
            row = self._owned(session, actor.id, model_id)
        return _lora(row, self._providers.find_model(row.base_model))

    def lora(self, owner_id: str, model_id: str) -> LoraPlace:
        """Where a LoRA is that `owner_id` may use: a local file, or with a provider.

        Raises:
            NotFoundError: there is none, or it is not the owner's.
            ConflictError: it was deleted, still trains, or its training did not succeed.
            StorageError: the file has vanished.
        """
        with self._db.reading() as session:
            row = self._owned(session, owner_id, model_id)
        path = self._storage.local_path(row.storage_key) if row.storage_key else None
        return LoraPlace(row.base_model, path, row.remote_id)

    def file(self, actor: Actor, model_id: str) -> Path:
        """The LoRA's safetensors file on the local disk.

        Raises:
            UnsupportedError: it is not here but with a provider, whose API does not hand it out.
            NotFoundError, ConflictError, StorageError: as `lora`.
        """
        path = self.lora(actor.id, model_id).path
        if path is None:
            raise UnsupportedError(
                "lora-elsewhere",
                "This LoRA is kept by its provider, which does not hand out the file.",
                hint="Fetch it where it was trained or uploaded.",
                field="finetune_id",
            )
        return path

    def link(self, actor: Actor, request: LinkRequest) -> Model:
        """Name a LoRA that a provider keeps, such as one uploaded in BFL's dashboard, to draw with it here.

        Raises:
            NotFoundError: there is no such base model.
            UnsupportedError: its provider keeps no LoRAs for it.
        """
        info = self._providers.base_model(request.base_model, field="base_model")
        if not info.keeps_loras:
            able = [known.name for known in self._providers.models() if known.keeps_loras]
            raise UnsupportedError(
                "base-keeps-no-loras",
                f"Nobody keeps LoRAs for '{info.name}'.",
                hint=f"Bases of which one can be linked: {', '.join(able)}."
                if able
                else "Set FLUXSMITH_BFL_API_KEY first.",
                field="base_model",
            )
        with self._db.session() as session:
            row = repository.insert_link(session, str(uuid.uuid4()), actor.id, request)
        return _lora(row, info)

    def delete(self, actor: Actor, model_id: str) -> Model:
        """Hide a LoRA from lists and requests; the file is kept until it is purged.

        Raises:
            NotFoundError: there is none, or it is not the actor's.
            ConflictError: it was deleted before.
        """
        with self._db.session() as session:
            row = self._owned(session, actor.id, model_id)
            repository.mark_deleted(session, row, datetime.now(UTC))
        return _lora(row, self._providers.find_model(row.base_model))

    def _owned(self, session: Session, owner_id: str, model_id: str) -> ModelRow:
        row = repository.find(session, model_id)
        if row is None:
            raise _no_model(model_id, repository.finetune_state(session, model_id, owner_id))
        if row.owner_id != owner_id:
            raise _no_model(model_id, None)
        if row.deleted_at is not None:
            raise ConflictError(
                "model-deleted",
                f"The model '{row.name}' was deleted.",
                hint="Choose another model, or train it again.",
                field="finetune_id",
            )
        return row


def _no_model(model_id: str, finetune_state: str | None) -> FluxsmithError:
    if finetune_state in ("queued", "running"):
        return ConflictError(
            "model-not-ready",
            f"The model '{model_id}' is still being trained.",
            hint="Wait until its finetune is done.",
            field="finetune_id",
        )
    if finetune_state in ENDINGS:
        return ConflictError(
            "model-not-made",
            f"There is no model '{model_id}': its finetune has {ENDINGS[finetune_state]}.",
            hint="Start the finetune again.",
            field="finetune_id",
        )
    return NotFoundError(
        "model-not-found",
        f"There is no model '{model_id}'.",
        hint="List the models to see the ids that can be used.",
        field="finetune_id",
    )


def _base(info: BaseModelInfo) -> Model:
    return Model(
        id=info.name,
        name=info.title,
        kind="base",
        base_model=info.name,
        license=info.license,
        capabilities=tuple(sorted(info.capabilities)),
        provider=info.provider,
        trainable=info.trainable,
        drawable=info.drawable,
    )


def _lora(row: ModelRow, base: BaseModelInfo | None) -> Model:
    return Model(
        id=row.id,
        name=row.name,
        kind="lora",
        base_model=row.base_model,
        trigger_word=row.trigger_word,
        size_bytes=row.size_bytes if row.storage_key else None,
        sha256=row.sha256 or None,
        license=base.license if base else None,
        capabilities=tuple(sorted(base.capabilities)) if base else (),
        provider=base.provider if base else "local",
        remote_id=row.remote_id,
        created_at=row.created_at,
    )
