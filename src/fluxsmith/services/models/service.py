"""Lists, finds, imports, links and deletes models. Training one is the finetuning service's work.

A LoRA is asked for by its id, by its name if no other has it, or as `owner/name`, the way BFL's clients
name a LoRA of another account.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from sqlalchemy.orm import Session

from fluxsmith.core.actor import Actor
from fluxsmith.core.database import Database
from fluxsmith.core.storage import StorageService
from fluxsmith.core.tables import ModelRow
from fluxsmith.errors import ConflictError, FluxsmithError, NotFoundError, UnsupportedError
from fluxsmith.providers.base import BaseModelInfo, LoraPlace
from fluxsmith.providers.registry import ProviderRegistry
from fluxsmith.services.models import repository
from fluxsmith.services.models.publishing import PublishGuide, guide_for
from fluxsmith.services.models.schema import ImportRequest, LinkRequest, Model, Origin, printable

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
            trained = repository.trained_here(session, [row.id for row in rows])
        bases = {info.name: info for info in self._providers.models()}
        shown = [info for info in bases.values() if info.drawable or info.trainable]
        return [*map(_base, shown), *(_lora(row, bases.get(row.base_model), trained) for row in rows)]

    def get(self, actor: Actor, model_id: str) -> Model:
        """One model: a base model by name, or a LoRA by its id, its name or `owner/name`.

        Raises:
            NotFoundError: there is none, or it is not the actor's.
            ConflictError: it was deleted, or several have that name.
        """
        info = self._providers.find_model(model_id)
        if info is not None:
            return _base(info)
        with self._db.reading() as session:
            return self._seen(session, self._owned(session, actor.id, model_id))

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
        return LoraPlace(row.id, row.base_model, path, row.remote_id)

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

    def add(self, actor: Actor, request: ImportRequest, file: BinaryIO | Path) -> Model:
        """Import a LoRA's file, to draw with it by the name that it is given; all of it, or nothing.

        Args:
            actor: whose it will be.
            request: its name, and the base model that it was trained on.
            file: safetensors; read once, in pieces.

        Raises:
            NotFoundError: there is no such base model.
            ConflictError: the name is taken.
            ValidationError: the file is no whole LoRA for that base; `UnsupportedError` if the base's
                provider takes no files.
            StorageError: the disk refuses.
        """
        info = self._providers.base_model(request.base_model, field="base_model")
        with self._db.reading() as session:
            self._refuse_taken(session, actor, request.name)
        model_id = str(uuid.uuid4())
        stored = self._storage.put(f"models/{model_id}/lora.safetensors", file)
        try:
            facts = self._providers.get(info.provider).check_lora(
                info.name, self._storage.local_path(stored.key)
            )
            request = _with_word_of_file(request, facts.trigger_word)
            with self._db.session() as session:
                self._refuse_taken(session, actor, request.name)
                return self._seen(
                    session, repository.insert_import(session, model_id, actor.id, request, stored)
                )
        except BaseException:
            self._storage.delete_prefix(f"models/{model_id}")
            raise

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
            return self._seen(session, repository.insert_link(session, str(uuid.uuid4()), actor.id, request))

    def publish_guide(self, actor: Actor, model_id: str) -> PublishGuide:
        """How to draw with a LoRA of this server at BFL, step by step.

        Raises:
            UnsupportedError: it is a base model, is not here, or BFL takes no LoRAs of its base.
            NotFoundError, ConflictError: as `get`.
        """
        model = self.get(actor, model_id)
        if model.origin in ("base", "link"):
            raise UnsupportedError(
                "not-a-lora-here",
                f"'{model.name}' is no LoRA whose file is here.",
                hint="Train or import one.",
                field="finetune_id",
            )
        return guide_for(model.id, model.name, model.base_model, model.trigger_word or "")

    def delete(self, actor: Actor, model_id: str) -> Model:
        """Hide a LoRA from lists and requests; the file is kept until it is purged.

        Raises:
            NotFoundError: there is none, or it is not the actor's.
            ConflictError: it was deleted before.
        """
        with self._db.session() as session:
            row = self._owned(session, actor.id, model_id)
            repository.mark_deleted(session, row, datetime.now(UTC))
            return self._seen(session, row)

    def _seen(self, session: Session, row: ModelRow) -> Model:
        trained = repository.trained_here(session, [row.id])
        return _lora(row, self._providers.find_model(row.base_model), trained)

    def _refuse_taken(self, session: Session, actor: Actor, name: str) -> None:
        if self._providers.find_model(name) is not None or repository.named(session, actor.id, name):
            raise ConflictError(
                "name-taken",
                f"There is a model named '{name}' already.",
                hint="Choose another name, or delete that model first.",
                field="name",
            )

    def _owned(self, session: Session, owner_id: str, model_id: str) -> ModelRow:
        row = repository.find(session, model_id) or self._named(session, owner_id, model_id)
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

    def _named(self, session: Session, owner_id: str, name: str) -> ModelRow | None:
        """The one model of that name or `owner/name`; None if there is none."""
        rows = repository.named(session, owner_id, name)
        rows = rows or repository.named(session, owner_id, name.removeprefix(f"{owner_id}/"))
        if len(rows) > 1:
            raise ConflictError(
                "model-ambiguous",
                f"{len(rows)} models are named '{name}'.",
                hint=f"Use an id: {', '.join(row.id for row in rows)}.",
                field="finetune_id",
            )
        return rows[0] if rows else None


def _with_word_of_file(request: ImportRequest, word: str) -> ImportRequest:
    """The request with the trigger word that the file names, if none was given and that one can be used."""
    if request.trigger_word:
        return request
    try:
        return ImportRequest(**{**request.model_dump(), "trigger_word": printable(word)})
    except ValueError:
        return request


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
        f"There is no model {model_id[:80]!r}.",
        hint="List the models to see the ids that can be used.",
        field="finetune_id",
    )


def _base(info: BaseModelInfo) -> Model:
    return Model(
        id=info.name,
        name=info.title,
        kind="base",
        origin="base",
        base_model=info.name,
        license=info.license,
        capabilities=tuple(sorted(info.capabilities)),
        provider=info.provider,
        trainable=info.trainable,
        drawable=info.drawable,
    )


def _lora(row: ModelRow, base: BaseModelInfo | None, trained: Collection[str]) -> Model:
    origin: Origin = "finetune" if row.id in trained else "link" if row.remote_id else "import"
    return Model(
        id=row.id,
        name=row.name,
        kind="lora",
        origin=origin,
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
