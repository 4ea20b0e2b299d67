"""Every service, made when first asked for.

The container is the only place that knows which service needs which. Nothing here imports torch:
the local provider loads the engine when it first carries out work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar, cast

from fluxsmith.config.settings import ConfigService, Settings
from fluxsmith.core.api_cache import DatabaseCache
from fluxsmith.core.cloud_tasks import CloudTasks
from fluxsmith.core.database import Database
from fluxsmith.core.jobs import JobQueue
from fluxsmith.core.moderation import SafetyChecker, checker_named
from fluxsmith.core.outbound import Outbound
from fluxsmith.core.storage import StorageService
from fluxsmith.core.task_limit import TaskLimit
from fluxsmith.providers import fal
from fluxsmith.providers.base import Provider
from fluxsmith.providers.bfl import MOST_IN_FLIGHT, BflProvider, service_at
from fluxsmith.providers.fal import FalProvider, hosts_at
from fluxsmith.providers.local import LocalProvider
from fluxsmith.providers.registry import ProviderRegistry
from fluxsmith.services.datasets import DatasetService
from fluxsmith.services.finetuning import FinetuningService
from fluxsmith.services.inference import InferenceService
from fluxsmith.services.models import ModelService
from fluxsmith.services.webhooks import Patience, WebhookService

T = TypeVar("T")

PICTURE_WITHIN_S = 20.0
"""How long fetching one picture from its address may take."""


class ServiceContainer:
    """Makes services lazily, keeps them, and closes them in reverse order.

    Args:
        settings: read from the environment when not given.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings if settings is not None else Settings.load()
        self._made: dict[str, object] = {}
        self._lock = threading.RLock()

    def override(self, name: str, service: object) -> None:
        """Use `service` under `name`; for tests, before it is first asked for.

        Raises:
            RuntimeError: the service has been made already.
        """
        if name in self._made:
            raise RuntimeError(f"'{name}' has been made already; override it earlier.")
        self._made[name] = service

    @property
    def made(self) -> tuple[str, ...]:
        """Names of the services made so far, in order."""
        return tuple(self._made)

    def close(self) -> None:
        """Close what has been made, last first."""
        while self._made:
            _, service = self._made.popitem()
            close = getattr(service, "close", None)
            if callable(close):
                close()

    @property
    def config(self) -> ConfigService:
        """Settings with their sources."""
        return self._once("config", lambda: ConfigService(self.settings))

    @property
    def db(self) -> Database:
        """The database, migrated to the newest schema."""

        def make() -> Database:
            db = Database(self.settings.resolved_database_url)
            db.migrate()
            return db

        return self._once("db", make)

    @property
    def storage(self) -> StorageService:
        """Files."""
        return self._once("storage", lambda: StorageService(self.settings.data_dir / "files"))

    @property
    def jobs(self) -> JobQueue:
        """Background work."""

        def make() -> JobQueue:
            jobs = JobQueue(self.db)
            jobs.when_ended(lambda session, job_id: self.webhooks.task_ended(session, job_id))
            return jobs

        return self._once("jobs", make)

    @property
    def webhooks(self) -> WebhookService:
        """Who is told when a task ends."""
        settings = self.settings
        return self._once(
            "webhooks",
            lambda: WebhookService(
                self.db,
                self.jobs,
                self._outbound(settings.webhook_timeout_s),
                Patience(
                    settings.webhook_retry_s, settings.webhook_retry_most_s, settings.webhook_retry_for_s
                ),
            ),
        )

    @property
    def task_limit(self) -> TaskLimit:
        """How much may be asked for at once."""
        return self._once("task_limit", lambda: TaskLimit(self.db, self.settings.max_active_tasks))

    @property
    def safety(self) -> SafetyChecker:
        """What may be drawn."""
        return self._once("safety", lambda: checker_named(self.settings.safety_checker))

    @property
    def providers(self) -> ProviderRegistry:
        """Who carries out finetunes and generations: this machine, and whoever there is a key for."""
        return self._once("providers", lambda: ProviderRegistry([self._local_provider(), *self._cloud()]))

    @property
    def datasets(self) -> DatasetService:
        """Sets of pictures."""
        return self._once("datasets", lambda: DatasetService(self.db, self.storage, self.settings))

    @property
    def models(self) -> ModelService:
        """What can be drawn with."""
        return self._once("models", lambda: ModelService(self.db, self.storage, self.providers))

    @property
    def finetuning(self) -> FinetuningService:
        """Training runs."""
        return self._once(
            "finetuning",
            lambda: FinetuningService(
                self.db,
                self.storage,
                self.jobs,
                self.providers,
                self.datasets,
                self.settings.data_dir / "runs",
                self.task_limit,
            ),
        )

    @property
    def inference(self) -> InferenceService:
        """Pictures drawn."""
        return self._once(
            "inference",
            lambda: InferenceService(
                self.db,
                self.storage,
                self.jobs,
                self.providers,
                self.models,
                self.task_limit,
                self.safety,
                self._outbound(PICTURE_WITHIN_S),
            ),
        )

    def _outbound(self, limit_s: float) -> Outbound:
        return Outbound(self.settings.allow_private_addresses, limit_s)

    def _local_provider(self) -> LocalProvider:
        limit_mb = self.settings.train_memory_limit_mb
        return LocalProvider(
            models_dir=self.settings.models_dir,
            device=self.settings.device,
            memory_limit_bytes=limit_mb * 1024 * 1024 if limit_mb else None,
        )

    def _cloud(self) -> list[Provider]:
        settings, found = self.settings, list[Provider]()
        if settings.fal_key is not None:
            hosts = hosts_at(settings.fal_base_url, settings.fal_key.get_secret_value())
            found.append(FalProvider(hosts, CloudTasks(self.db, FalProvider.name, fal.MOST_IN_FLIGHT)))
        if settings.bfl_api_key is not None:
            key = settings.bfl_api_key.get_secret_value()
            api = service_at(settings.bfl_base_url, key, cache=DatabaseCache(self.db))
            found.append(BflProvider(api, CloudTasks(self.db, BflProvider.name, MOST_IN_FLIGHT)))
        return found

    def _once(self, name: str, make: Callable[[], T]) -> T:
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            return cast(T, self._made[name])
