"""Lists, finds and deletes models. Making one is the finetuning service's work."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from fluxsmith.core.actor import Actor
from fluxsmith.core.database import Database
from fluxsmith.core.storage import StorageService
from fluxsmith.core.tables import ModelRow
from fluxsmith.errors import ConflictError, FluxsmithError, NotFoundError
from fluxsmith.providers.base import BaseModelInfo
from fluxsmith.providers.registry import ProviderRegistry
from fluxsmith.services.models import repository
from fluxsmith.services.models.schema import Model

ENDINGS = {"failed": "failed", "cancelled": "been cancelled"}


class ModelService:
    """Everything that can be drawn with."""

    def __init__(self, db: Database, storage: StorageService, providers: ProviderRegistry) -> None:
        self._db = db
        self._storage = storage
        self._providers = providers

    def list(self, actor: Actor) -> list[Model]:
        """Base models first, then the actor's LoRAs, newest first."""
        with self._db.reading() as session:
            rows = repository.of_owner(session, actor.id)
        bases = {info.name: info for info in self._providers.models()}
        return [*map(_base, bases.values()), *(_lora(row, bases.get(row.base_model)) for row in rows)]

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

    def lora(self, owner_id: str, model_id: str) -> tuple[str, Path]:
        """The base model's name and the local file of a LoRA that `owner_id` may use.

        Raises:
            NotFoundError: there is none, or it is not the owner's.
            ConflictError: it was deleted, still trains, or its training did not succeed.
            StorageError: the file has vanished.
        """
        with self._db.reading() as session:
            row = self._owned(session, owner_id, model_id)
        return row.base_model, self._storage.local_path(row.storage_key)

    def file(self, actor: Actor, model_id: str) -> Path:
        """The LoRA's safetensors file on the local disk; raises as `lora` does."""
        return self.lora(actor.id, model_id)[1]

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
    )


def _lora(row: ModelRow, base: BaseModelInfo | None) -> Model:
    return Model(
        id=row.id,
        name=row.name,
        kind="lora",
        base_model=row.base_model,
        trigger_word=row.trigger_word,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        license=base.license if base else None,
        capabilities=tuple(sorted(base.capabilities)) if base else (),
        created_at=row.created_at,
    )
