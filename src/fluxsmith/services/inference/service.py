"""Draws pictures: writes the request and its job, and carries it out by a provider."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from fluxsmith.core.actor import Actor
from fluxsmith.core.database import Database
from fluxsmith.core.jobs import Companion, Job, JobContext, JobQueue
from fluxsmith.core.moderation import SafetyChecker
from fluxsmith.core.storage import StorageService
from fluxsmith.core.tables import GenerationRow
from fluxsmith.core.task_limit import TaskLimit
from fluxsmith.errors import ConflictError, NotFoundError, UnsupportedError, ValidationError
from fluxsmith.providers.base import (
    Adapter,
    BaseModelInfo,
    GenerationTask,
    LoraPlace,
    Picture,
    RemoteLora,
)
from fluxsmith.providers.registry import ProviderRegistry
from fluxsmith.services.inference import repository
from fluxsmith.services.inference.schema import MAX_SEED, Generation, GenerationRequest, Output
from fluxsmith.services.inference.upsampling import upsample

REQUEST_MODERATED = "request-moderated"


class Loras(Protocol):
    """What this service needs of the model service."""

    def lora(self, owner_id: str, model_id: str) -> LoraPlace:
        """Where a LoRA is; raises NotFoundError or ConflictError."""


class InferenceService:
    """Generations of all providers: one row and one job each."""

    def __init__(
        self,
        db: Database,
        storage: StorageService,
        jobs: JobQueue,
        providers: ProviderRegistry,
        loras: Loras,
        limit: TaskLimit,
        safety: SafetyChecker,
    ) -> None:
        self._db = db
        self._storage = storage
        self._jobs = jobs
        self._providers = providers
        self._loras = loras
        self._limit = limit
        self._safety = safety

    def generate(
        self, actor: Actor, request: GenerationRequest, companion: Companion | None = None
    ) -> Generation:
        """Write the request and its job in one commit, and return it.

        Args:
            actor: who asks.
            request: what is asked.
            companion: writes what else belongs to that commit.

        Raises:
            NotFoundError: the model does not exist for the actor.
            ConflictError: the model was deleted, or is still being trained.
            UnsupportedError: the model draws only with a LoRA.
            TaskLimitError: too many tasks of the actor wait or run.
        """
        provider = self._providers.get(self._drawable(actor, request).provider)
        if request.seed is None:
            request = request.model_copy(update={"seed": secrets.randbelow(MAX_SEED + 1)})
        generation_id = str(uuid.uuid4())
        with self._db.session() as session:
            self._limit.admit(session, actor.id)
            self._jobs.enqueue(
                session,
                job_id=generation_id,
                owner_id=actor.id,
                kind="generate",
                queue="io" if provider.remote else "generate",
            )
            repository.insert(session, generation_id, actor.id, provider.name, request)
            if companion is not None:
                companion(session, generation_id)
        return self.get(actor, generation_id)

    def get(self, actor: Actor, generation_id: str) -> Generation:
        """One generation.

        Raises:
            NotFoundError: there is none, it is not the actor's, or it was deleted.
        """
        with self._db.reading() as session:
            row = self._owned(repository.find(session, generation_id), actor, generation_id)
        return _generation(row, self._jobs.get(row.id))

    def list(self, actor: Actor, limit: int = 100) -> list[Generation]:
        """The actor's generations, newest first."""
        with self._db.reading() as session:
            rows = repository.of_owner(session, actor.id, limit)
        jobs = self._jobs.get_many([row.id for row in rows])
        return [_generation(row, jobs[row.id]) for row in rows]

    def cancel(self, actor: Actor, generation_id: str) -> Generation:
        """Ask a generation to stop; one that has ended stays as it is.

        Raises:
            NotFoundError: there is none, or it is not the actor's.
        """
        self.get(actor, generation_id)
        self._jobs.request_cancel(generation_id)
        return self.get(actor, generation_id)

    def delete(self, actor: Actor, generation_id: str) -> Generation:
        """Hide a generation and its pictures, cancelling it if it still runs.

        Raises:
            NotFoundError: there is none, it is not the actor's, or it was deleted before.
        """
        generation = self.cancel(actor, generation_id)
        with self._db.session() as session:
            row = self._owned(repository.find(session, generation_id), actor, generation_id)
            row.deleted_at = datetime.now(UTC)
        return generation

    def output(self, actor: Actor, generation_id: str, index: int) -> Path:
        """The PNG file of one drawn picture.

        Raises:
            NotFoundError: there is no such generation or picture.
            StorageError: the file has vanished.
        """
        outputs = self.get(actor, generation_id).outputs
        if not 0 <= index < len(outputs):
            raise NotFoundError("picture-not-found", f"There is no picture {index} in this generation.")
        return self._storage.local_path(outputs[index].storage_key)

    def carry_out(self, ctx: JobContext) -> None:
        """Draw: the handler of the job. May be called again after a crash."""
        with self._db.reading() as session:
            row = repository.find(session, ctx.job_id)
        if row is None or row.deleted_at is not None:
            raise ConflictError("generation-deleted", "The request was deleted before it started.")
        request = GenerationRequest.model_validate(row.request)
        self._refuse_moderated(request)
        task = self._task(row, request)
        pictures = self._providers.get(row.provider).generate(task, ctx)
        outputs = [self._keep(row.id, index, picture, request) for index, picture in enumerate(pictures)]
        with ctx.finishing() as session:
            repository.set_outputs(session, row.id, [output.model_dump() for output in outputs])

    def _refuse_moderated(self, request: GenerationRequest) -> None:
        if request.safety_tolerance is None:
            return
        objection = self._safety.objection(request.prompt, request.safety_tolerance)
        if objection is not None:
            raise ValidationError(
                REQUEST_MODERATED,
                objection,
                hint="Say it otherwise, or raise safety_tolerance.",
                field="prompt",
            )

    def _keep(self, generation_id: str, index: int, picture: Picture, request: GenerationRequest) -> Output:
        file = self._storage.put(f"generations/{generation_id}/{index}.png", picture.png)
        return Output(
            storage_key=file.key,
            seed=picture.seed,
            width=request.width,
            height=request.height,
            native_width=picture.native_width,
            native_height=picture.native_height,
        )

    def _task(self, row: GenerationRow, request: GenerationRequest) -> GenerationTask:
        place, strength = self._place(row.owner_id, request), request.strength
        return GenerationTask(
            id=row.id,
            base_model=place.base_model,
            prompt=upsample(request.prompt) if request.prompt_upsampling else request.prompt,
            width=request.width,
            height=request.height,
            seed=_seed(request),
            count=request.count,
            steps=request.steps,
            guidance=request.guidance,
            adapters=(Adapter(request.model, place.path, strength),) if place.path else (),
            remote_lora=RemoteLora(place.remote_id, strength) if place.remote_id else None,
        )

    def _place(self, owner_id: str, request: GenerationRequest) -> LoraPlace:
        """What a model's name stands for: a base model alone, or a LoRA and where it is."""
        base = request.base_model
        if self._providers.find_model(request.model) is not None:
            return LoraPlace(request.model, None, None)
        place = self._loras.lora(owner_id, request.model)
        if base is None or base == place.base_model:
            return place
        if place.path is None:
            raise UnsupportedError(
                "lora-elsewhere",
                "This LoRA is kept by its provider, so it can be drawn with only there.",
                hint="Leave the base empty.",
                field="base_model",
            )
        return LoraPlace(base, place.path, None)

    def _drawable(self, actor: Actor, request: GenerationRequest) -> BaseModelInfo:
        """The base model that would draw; raises if there is none or it needs a LoRA."""
        place = self._place(actor.id, request)
        info = self._providers.base_model(place.base_model, field="model")
        if not info.drawable and place.remote_id is None:
            raise UnsupportedError(
                "finetune-needed",
                f"'{info.name}' draws only with a finetune.",
                hint="Choose a finetune of it: `fluxsmith models link` names one that the provider keeps.",
                field="model",
            )
        return info

    def _owned(self, row: GenerationRow | None, actor: Actor, generation_id: str) -> GenerationRow:
        if row is None or row.owner_id != actor.id or row.deleted_at is not None:
            raise NotFoundError("generation-not-found", f"There is no generation '{generation_id}'.")
        return row


def _seed(request: GenerationRequest) -> int:
    if request.seed is None:
        raise ConflictError("seed-missing", "The stored request has no seed.", hint="Send it again.")
    return request.seed


def _generation(row: GenerationRow, job: Job) -> Generation:
    request = GenerationRequest.model_validate(row.request)
    return Generation(
        id=row.id,
        seed=_seed(request),
        outputs=tuple(Output.model_validate(output) for output in row.outputs),
        created_at=row.created_at,
        job=job,
        **request.model_dump(exclude={"seed"}),
    )
