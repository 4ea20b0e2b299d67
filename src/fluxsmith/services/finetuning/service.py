"""Starts, follows and ends finetunes, whoever carries them out."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from fluxsmith import __version__
from fluxsmith.core.actor import Actor
from fluxsmith.core.database import Database
from fluxsmith.core.jobs import Companion, Event, Job, JobContext, JobQueue, QueueName
from fluxsmith.core.snapshot import SnapshotItem, snapshot_hash
from fluxsmith.core.storage import StorageService
from fluxsmith.core.tables import FinetuneRow
from fluxsmith.core.task_limit import TaskLimit
from fluxsmith.core.verdict import Verdict
from fluxsmith.errors import (
    ConflictError,
    FluxsmithError,
    LeaseLost,
    NotFoundError,
    UnsupportedError,
    ValidationError,
)
from fluxsmith.providers.base import (
    BaseModelInfo,
    FinetuneOutcome,
    FinetuneParameters,
    FinetuneTask,
    Mode,
    TrainingPicture,
)
from fluxsmith.providers.registry import ProviderRegistry
from fluxsmith.services.finetuning import repository
from fluxsmith.services.finetuning.captions import training_caption
from fluxsmith.services.finetuning.reporter import FinetuneReporter, lora_key, run_folder, samples_prefix
from fluxsmith.services.finetuning.schema import Finetune, FinetuneRequest, Quote


class Datasets(Protocol):
    """What this service needs of the dataset service."""

    def snapshot(self, actor: Actor, dataset_id: str) -> Sequence[SnapshotItem]:
        """The dataset's pictures and captions as they are now."""

    def check(self, actor: Actor, dataset_id: str, side: int) -> Sequence[Verdict]:
        """What in it would harm a LoRA that is trained at that side."""


class FinetuningService:
    """Finetunes of all providers: one row, one job and one model each."""

    def __init__(
        self,
        db: Database,
        storage: StorageService,
        jobs: JobQueue,
        providers: ProviderRegistry,
        datasets: Datasets,
        runs_dir: Path,
        limit: TaskLimit,
    ) -> None:
        self._db = db
        self._storage = storage
        self._jobs = jobs
        self._providers = providers
        self._datasets = datasets
        self._runs_dir = runs_dir
        self._limit = limit

    def start(self, actor: Actor, request: FinetuneRequest, companion: Companion | None = None) -> Finetune:
        """Snapshot the dataset, write the finetune and its job in one commit, and return it.

        Args:
            actor: who asks.
            request: what is asked.
            companion: writes what else belongs to that commit.

        Raises:
            NotFoundError: the dataset or the base model does not exist for the actor.
            UnsupportedError: the base model cannot be trained.
            TaskLimitError: too many tasks of the actor wait or run.
            ValidationError: it costs money, and more than was accepted.
        """
        base = self._trainable(request)
        provider = self._providers.get(base.provider)
        cost_usd = _accepted_cost(base, request)
        snapshot = self._datasets.snapshot(actor, request.dataset_id)
        finetune_id = str(uuid.uuid4())
        with self._db.session() as session:
            self._limit.admit(session, actor.id)
            queue: QueueName = "io" if provider.remote else "train"
            self._jobs.enqueue(session, job_id=finetune_id, owner_id=actor.id, kind="finetune", queue=queue)
            pictures = [item.model_dump() for item in snapshot]
            facts = {} if cost_usd is None else {"accepted_cost_usd": cost_usd}
            repository.insert(session, finetune_id, actor.id, provider.name, request, pictures, facts)
            if companion is not None:
                companion(session, finetune_id)
        return self.get(actor, finetune_id)

    def quote(self, base_model: str, steps: int) -> Quote:
        """What a finetune of that many steps would cost; asks nobody.

        Raises:
            NotFoundError: there is no such base model.
        """
        base = self._providers.base_model(base_model, field="base_model")
        return _quote(base, steps)

    def _trainable(self, request: FinetuneRequest) -> BaseModelInfo:
        base = self._providers.base_model(request.base_model, field="base_model")
        provider = self._providers.get(request.provider or base.provider)
        if not base.trainable or base.provider != provider.name:
            raise UnsupportedError(
                "not-trainable",
                f"'{base.name}' cannot be trained by '{provider.name}'.",
                hint=base.training_hint or "Choose another base model.",
                field="base_model",
            )
        return base

    def check_pictures(self, actor: Actor, dataset_id: str, base_model: str) -> Sequence[Verdict]:
        """What in a dataset would harm a LoRA of that base model; advice, nothing is refused for it.

        Raises:
            NotFoundError: the dataset or the base model does not exist for the actor.
            StorageError: a picture's file is missing or damaged.
        """
        base = self._providers.base_model(base_model, field="base_model")
        return self._datasets.check(actor, dataset_id, base.native_side)

    def get(self, actor: Actor, finetune_id: str) -> Finetune:
        """One finetune.

        Raises:
            NotFoundError: there is none, it is not the actor's, or it was deleted.
        """
        with self._db.reading() as session:
            row = self._owned(repository.find(session, finetune_id), actor, finetune_id)
        return _finetune(row, self._jobs.get(row.id))

    def events(self, actor: Actor, finetune_id: str, after: int = 0) -> list[Event]:
        """What happened in a finetune after event `after`.

        Raises:
            NotFoundError: there is none, or it is not the actor's.
        """
        self.get(actor, finetune_id)
        return self._jobs.events(finetune_id, after)

    def list(self, actor: Actor) -> list[Finetune]:
        """The actor's finetunes, newest first."""
        with self._db.reading() as session:
            rows = repository.of_owner(session, actor.id)
        jobs = self._jobs.get_many([row.id for row in rows])
        return [_finetune(row, jobs[row.id]) for row in rows]

    def cancel(self, actor: Actor, finetune_id: str) -> Finetune:
        """Ask a finetune to stop; one that has ended stays as it is.

        Raises:
            NotFoundError: there is none, or it is not the actor's.
        """
        self.get(actor, finetune_id)
        self._jobs.request_cancel(finetune_id)
        return self.get(actor, finetune_id)

    def delete(self, actor: Actor, finetune_id: str) -> Finetune:
        """Hide a finetune and its model, cancelling it if it still runs.

        Raises:
            NotFoundError: there is none, it is not the actor's, or it was deleted before.
        """
        finetune = self.cancel(actor, finetune_id)
        with self._db.session() as session:
            row = self._owned(repository.find(session, finetune_id), actor, finetune_id)
            repository.mark_deleted(session, row)
        return finetune

    def sample_image(self, actor: Actor, finetune_id: str, storage_key: str) -> Path:
        """The local file of a live sample, by the key that its event names.

        Raises:
            NotFoundError: the finetune or the sample does not exist.
        """
        self.get(actor, finetune_id)
        if not storage_key.startswith(samples_prefix(finetune_id)) or not self._storage.exists(storage_key):
            raise NotFoundError("sample-not-found", "There is no such sample of this finetune.")
        return self._storage.local_path(storage_key)

    def carry_out(self, ctx: JobContext) -> None:
        """Train: the handler of the job. May be called again after a crash."""
        with self._db.reading() as session:
            row = repository.find(session, ctx.job_id)
            if row is None or row.deleted_at is not None:
                raise ConflictError("finetune-deleted", "The finetune was deleted before it started.")
        task = self._task(row)
        provider = self._providers.get(row.provider)
        reporter = FinetuneReporter(ctx, self._storage)
        try:
            outcome = provider.finetune(task, reporter)
        except LeaseLost:
            raise
        except FluxsmithError:
            shutil.rmtree(task.run_dir, ignore_errors=True)
            raise
        self._keep(ctx, outcome)
        shutil.rmtree(task.run_dir, ignore_errors=True)

    def _keep(self, ctx: JobContext, outcome: FinetuneOutcome) -> None:
        file = self._storage.put(lora_key(ctx.job_id), outcome.lora_path) if outcome.lora_path else None
        with ctx.finishing() as session:
            row = repository.find(session, ctx.job_id)
            if row is None:
                raise ConflictError("finetune-deleted", "The finetune was deleted while it ran.")
            repository.add_model(session, row, file, outcome.remote_id, outcome.facts)
            if row.deleted_at is not None:
                repository.mark_deleted(session, row)

    def _task(self, row: FinetuneRow) -> FinetuneTask:
        items = [SnapshotItem.model_validate(item) for item in row.snapshot]
        return FinetuneTask(
            id=row.id,
            base_model=row.base_model,
            pictures=tuple(
                TrainingPicture(
                    path=self._storage.local_path(item.storage_key),
                    caption=training_caption(
                        item.caption, row.trigger_word, cast(Mode, row.mode), row.captioning
                    ),
                )
                for item in items
            ),
            trigger_word=row.trigger_word,
            parameters=FinetuneParameters.model_validate(row.parameters),
            run_dir=run_folder(self._runs_dir, row.id),
            mode=cast(Mode, row.mode),
            metadata={
                "name": row.name,
                "dataset_hash": snapshot_hash(items),
                "fluxsmith_version": __version__,
            },
        )

    def _owned(self, row: FinetuneRow | None, actor: Actor, finetune_id: str) -> FinetuneRow:
        if row is None or row.owner_id != actor.id or row.deleted_at is not None:
            raise NotFoundError(
                "finetune-not-found",
                f"There is no finetune '{finetune_id}'.",
                hint="List the finetunes to see the ids that can be used.",
                field="finetune_id",
            )
        return row


def _quote(base: BaseModelInfo, steps: int) -> Quote:
    cost_usd = None if base.price is None else base.price.of(steps)
    words = (
        f"No price is known for training {base.title}."
        if cost_usd is None
        else f"Training {base.title} for {steps:,} steps costs about {cost_usd:.2f} USD."
    )
    return Quote(provider=base.provider, base_model=base.name, steps=steps, cost_usd=cost_usd, words=words)


def _accepted_cost(base: BaseModelInfo, request: FinetuneRequest) -> float | None:
    """What the finetune costs, if that was accepted."""
    quote = _quote(base, request.parameters.steps)
    accepted = request.accepted_cost_usd
    if quote.cost_usd is None or (accepted is not None and accepted >= quote.cost_usd):
        return quote.cost_usd
    code = "cost-not-accepted" if accepted is None else "cost-above-accepted"
    more = "" if accepted is None else f" {accepted:.2f} USD were accepted."
    raise ValidationError(
        code,
        f"{quote.words}{more} Nothing was started.",
        hint=f"Accept it: tick the cost on the page, --accept-cost {quote.cost_usd:.2f} in the shell, "
        f"accepted_cost_usd={quote.cost_usd:.2f} over HTTP.",
        field="accepted_cost_usd",
    )


def _finetune(row: FinetuneRow, job: Job) -> Finetune:
    return Finetune(
        id=row.id,
        name=row.name,
        provider=row.provider,
        base_model=row.base_model,
        trigger_word=row.trigger_word,
        mode=cast(Mode, row.mode),
        captioning=row.captioning,
        parameters=FinetuneParameters.model_validate(row.parameters),
        dataset_id=row.dataset_id,
        pictures=len(row.snapshot),
        facts=row.facts,
        created_at=row.created_at,
        job=job,
    )
