"""Draws pictures: writes the request and its job, and carries it out by a provider."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from fluxsmith.core.actor import Actor
from fluxsmith.core.database import Database
from fluxsmith.core.fill_pictures import Margins
from fluxsmith.core.jobs import Companion, Job, JobContext, JobQueue
from fluxsmith.core.moderation import SafetyChecker
from fluxsmith.core.outbound import Outbound
from fluxsmith.core.storage import StorageService
from fluxsmith.core.tables import GenerationRow
from fluxsmith.core.task_limit import TaskLimit
from fluxsmith.errors import ConflictError, NotFoundError, UnsupportedError, ValidationError
from fluxsmith.providers.base import (
    Adapter,
    BaseModelInfo,
    Control,
    Fill,
    Followed,
    GenerationTask,
    LoraPlace,
    Picture,
    Provider,
    RemoteLora,
)
from fluxsmith.providers.registry import ProviderRegistry
from fluxsmith.services.inference import repository
from fluxsmith.services.inference.pictures import MOST_BYTES, folder_of, take_in
from fluxsmith.services.inference.schema import (
    MAX_SEED,
    Generation,
    GenerationRequest,
    Output,
    UsedPicture,
    asks_the_same,
    follow_the_same,
)
from fluxsmith.services.inference.upsampling import upsample

REQUEST_MODERATED = "request-moderated"


class Loras(Protocol):
    """What this service needs of the model service."""

    def lora(self, owner_id: str, model_id: str) -> LoraPlace:
        """Which LoRA an id or a name means and where it is; raises NotFoundError or ConflictError."""


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
        outbound: Outbound,
    ) -> None:
        self._db = db
        self._storage = storage
        self._jobs = jobs
        self._providers = providers
        self._loras = loras
        self._limit = limit
        self._safety = safety
        self._outbound = outbound

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
            UnsupportedError: the model draws only with a LoRA, or cannot follow such pictures.
            ValidationError: a picture to follow cannot be used.
            TaskLimitError: too many tasks of the actor wait or run.
        """
        place = self._place(actor.id, request)
        base = self._drawable(place)
        self._refuse_lacking(base, request)
        provider = self._providers.get(base.provider)
        request = request.model_copy(update={"model": place.model_id})  # a name may be given to another later
        if request.seed is None:
            request = request.model_copy(update={"seed": secrets.randbelow(MAX_SEED + 1)})
        intake = take_in(request, self._fetch)
        if intake.size is not None:
            request = request.model_copy(update={"width": intake.size[0], "height": intake.size[1]})
        generation_id = str(uuid.uuid4())
        pictures = intake.store(self._storage, generation_id)
        try:
            self._insert(actor, generation_id, provider, request, pictures, companion)
        except BaseException:
            self._storage.delete_prefix(folder_of(generation_id))
            raise
        return self.get(actor, generation_id)

    def _insert(
        self,
        actor: Actor,
        generation_id: str,
        provider: Provider,
        request: GenerationRequest,
        pictures: Sequence[UsedPicture],
        companion: Companion | None,
    ) -> None:
        with self._db.session() as session:
            self._limit.admit(session, actor.id)
            self._jobs.enqueue(
                session,
                job_id=generation_id,
                owner_id=actor.id,
                kind="generate",
                queue="io" if provider.remote else "generate",
            )
            repository.insert(session, generation_id, actor.id, provider.name, request, pictures)
            if companion is not None:
                companion(session, generation_id)

    def _fetch(self, url: str) -> bytes:
        return self._outbound.get(url, field="pictures", most_bytes=MOST_BYTES)

    def _refuse_lacking(self, base: BaseModelInfo, request: GenerationRequest) -> None:
        if not request.pictures and "text" not in base.capabilities:
            uses = ", ".join(sorted(base.capabilities))
            raise UnsupportedError(
                "picture-needed",
                f"The model '{base.title}' draws only after a picture ({uses}).",
                hint="Give it a picture to follow.",
                field="pictures",
            )
        for picture in request.pictures:
            capability = "fill" if picture.role == "mask" else picture.role
            if capability not in base.capabilities:
                able = [one.name for one in self._providers.models() if capability in one.capabilities]
                raise UnsupportedError(
                    "capability-missing",
                    f"The model '{base.title}' cannot do what the picture asks for ({capability}).",
                    hint=f"Models that can: {', '.join(able)}." if able else "No model here can.",
                    field="pictures",
                )

    def get(self, actor: Actor, generation_id: str) -> Generation:
        """One generation.

        Raises:
            NotFoundError: there is none, it is not the actor's, or it was deleted.
        """
        with self._db.reading() as session:
            found = repository.find_with_job(session, generation_id)
        if found is None:
            raise _not_found(generation_id)
        row, job = found
        return _generation(self._owned(row, actor, generation_id), job)

    def list(self, actor: Actor, limit: int = 100) -> list[Generation]:
        """The actor's generations, newest first."""
        with self._db.reading() as session:
            found = repository.of_owner(session, actor.id, limit)
        return [_generation(row, job) for row, job in found]

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

    def followed(self, actor: Actor, generation_id: str, index: int) -> Path:
        """The PNG file of one of the pictures that a generation follows.

        Raises:
            NotFoundError: there is no such generation or picture.
            StorageError: the file has vanished.
        """
        pictures = self.get(actor, generation_id).pictures
        if not 0 <= index < len(pictures):
            raise NotFoundError("picture-not-found", f"This generation follows no picture {index}.")
        return self._storage.local_path(pictures[index].storage_key)

    def carry_out(self, ctx: JobContext) -> None:
        """Draw: the handler of the job. May be called again after a crash."""
        with self._db.reading() as session:
            row = repository.find(session, ctx.job_id)
        if row is None or row.deleted_at is not None:
            raise ConflictError("generation-deleted", "The request was deleted before it started.")
        request = GenerationRequest.model_validate(row.request)
        self._refuse_moderated(request)
        outputs = self._drawn_before(row, request)
        if outputs:
            ctx.message(
                "Drawn before with the same settings and seed: taken from the store, not paid for again."
            )
        else:
            pictures = self._providers.get(row.provider).generate(self._task(row, request), ctx)
            outputs = [self._keep(row.id, index, picture, request) for index, picture in enumerate(pictures)]
        with ctx.finishing() as session:
            repository.set_outputs(session, row.id, [output.model_dump() for output in outputs])

    def saved_calls(self) -> int:
        """How many calls of paid providers were saved by taking pictures from the store; of all owners."""
        with self._db.reading() as session:
            return repository.reused_pictures(session)

    def _drawn_before(self, row: GenerationRow, request: GenerationRequest) -> Sequence[Output]:
        """Copies of what a paid provider drew before from the same request; empty if it must be asked."""
        if request.anew or not self._providers.get(row.provider).remote:
            return []
        followed = _used(row)
        with self._db.reading() as session:
            candidates = repository.done_with_seed(session, row, _seed(request))
        for earlier in candidates:
            same = asks_the_same(request, GenerationRequest.model_validate(earlier.request))
            if not same or not follow_the_same(followed, _used(earlier)):
                continue
            outputs = [Output.model_validate(output) for output in earlier.outputs]
            if len(outputs) == request.count and all(
                self._storage.exists(one.storage_key) for one in outputs
            ):
                return [self._copy(row.id, index, one, earlier.id) for index, one in enumerate(outputs)]
        return []

    def _copy(self, generation_id: str, index: int, output: Output, earlier_id: str) -> Output:
        """A file of its own, so that deleting the earlier generation takes nothing away from this one."""
        path = self._storage.local_path(output.storage_key)
        file = self._storage.put(f"generations/{generation_id}/{index}.png", path)
        source = output.reused_from or earlier_id
        return output.model_copy(update={"storage_key": file.key, "reused_from": source})

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
            adapters=(Adapter(place.model_id, place.path, strength),) if place.path else (),
            remote_lora=RemoteLora(place.remote_id, strength) if place.remote_id else None,
            followed=self._followed(row, request),
        )

    def _followed(self, row: GenerationRow, request: GenerationRequest) -> Followed:
        paths = [(one, self._storage.local_path(one.storage_key)) for one in _used(row)]
        controls = [
            Control(
                one.role,
                path,
                request.canny_low_threshold,
                request.canny_high_threshold,
                one.preprocessed,
            )
            for one, path in paths
            if one.role == "canny" or one.role == "depth"
        ]
        whole = {one.role: path for one, path in paths}
        margins = [Margins(**one.margins.model_dump()) for one, _ in paths if one.margins is not None]
        return Followed(
            references=tuple(path for one, path in paths if one.role == "edit"),
            image_prompts=tuple(path for one, path in paths if one.role == "image_prompt"),
            image_prompt_strength=request.image_prompt_strength,
            control=controls[0] if controls else None,
            fill=Fill(whole["fill"], whole["mask"], margins[0] if margins else None)
            if "fill" in whole
            else None,
        )

    def _place(self, owner_id: str, request: GenerationRequest) -> LoraPlace:
        """What a model's name stands for: a base model alone, or a LoRA and where it is."""
        base = request.base_model
        if self._providers.find_model(request.model) is not None:
            return LoraPlace(request.model, request.model, None, None)
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
        return LoraPlace(place.model_id, base, place.path, None)

    def _drawable(self, place: LoraPlace) -> BaseModelInfo:
        """The base model that would draw; raises if there is none or it needs a LoRA."""
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
            raise _not_found(generation_id)
        return row


def _not_found(generation_id: str) -> NotFoundError:
    return NotFoundError("generation-not-found", f"There is no generation '{generation_id}'.")


def _seed(request: GenerationRequest) -> int:
    if request.seed is None:
        raise ConflictError("seed-missing", "The stored request has no seed.", hint="Send it again.")
    return request.seed


def _used(row: GenerationRow) -> tuple[UsedPicture, ...]:
    return tuple(UsedPicture.model_validate(picture) for picture in row.pictures)


def _generation(row: GenerationRow, job: Job) -> Generation:
    request = GenerationRequest.model_validate(row.request)
    return Generation(
        id=row.id,
        seed=_seed(request),
        outputs=tuple(Output.model_validate(output) for output in row.outputs),
        pictures=_used(row),
        created_at=row.created_at,
        job=job,
        **request.model_dump(exclude={"seed", "pictures", "expand", "safety_tolerance", "size_from_picture"}),
    )
