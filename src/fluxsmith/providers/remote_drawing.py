"""Pictures drawn at a cloud: one paid request each, followed in turns, whatever some of them come to.

What was accepted is followed even when others fail, and those that succeed are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fluxsmith.core.api_faults import failure, fault
from fluxsmith.core.api_service import APIService, Check, Guard
from fluxsmith.core.cloud_tasks import CloudTask
from fluxsmith.core.images import fit_picture
from fluxsmith.errors import APIError, Cancelled, ValidationError
from fluxsmith.providers.base import GenerationTask, Picture, Reporter
from fluxsmith.providers.paid_requests import PaidRequest, PaidRequests

STUCK_S = 30 * 60.0  # pictures take seconds; a queue takes minutes
PICTURE_BYTES = 64_000_000  # 4 megapixels of noise as PNG have 13
PICTURE_S = 300.0
FIRST_POLL_S, LAST_POLL_S, POLL_GROWS = 0.5, 5.0, 1.4

_EXPIRED = frozenset({"api-refused-input", "api-key-refused", "api-forbidden", "api-no-such-endpoint"})


@dataclass(frozen=True)
class Sample:
    """What a result says of its picture, unchecked."""

    address: object
    seed: object


class Followed(Protocol):
    """A task that was accepted, and can be asked how far it is."""

    id: str
    part: int
    progress: float

    def poll(self, check: Check) -> dict[str, Any] | None:
        """The result if the task is ready, None while it is not; raises APIError if it ended otherwise."""


class RemoteDrawing:
    """One generation: its requests on their way, its tasks polled in turns, its pictures as they come.

    Args:
        follow: how an accepted task is polled.
        read: what a task's result says of its picture; raises APIError if it has none to show.
        guard: refuses addresses of pictures; None trusts the host's.
    """

    def __init__(
        self,
        api: APIService,
        paid: PaidRequests,
        task: GenerationTask,
        report: Reporter,
        follow: Callable[[CloudTask], Followed],
        read: Callable[[dict[str, Any]], Sample],
        guard: Guard | None = None,
    ) -> None:
        self._follow = follow
        self._read = read
        self._guard = guard
        self._api = api
        self._paid = paid
        self._task = task
        self._report = report
        self._active: list[Followed] = []
        self._pictures: dict[int, Picture] = {}
        self._failures: list[APIError] = []
        self._told = -1
        self._began = api.clock.monotonic()

    def run(self, requests: Sequence[PaidRequest], on_cancel: Callable[[], None]) -> list[Picture]:
        """Bring all requests to an end; when nothing comes of them, or nobody waits, all are let go.

        Args:
            requests: one for each picture.
            on_cancel: called when somebody asked to stop, before they are let go.
        """
        try:
            return self._run(requests)
        except Cancelled:
            on_cancel()
            self._let_go(range(self._task.count))
            raise
        except APIError:
            self._let_go(range(self._task.count))
            raise

    def _run(self, requests: Sequence[PaidRequest]) -> list[Picture]:
        waiting = deque(requests)
        interval_s = FIRST_POLL_S
        while waiting or self._active:
            self._send(waiting)
            self._tell()
            if waiting or self._active:
                self._api.wait(interval_s, self._check)
                interval_s = min(interval_s * POLL_GROWS, LAST_POLL_S)
            for remote in list(self._active):
                self._poll(remote)
        for failed in self._failures[:1] if self._pictures else []:
            self._report.message(f"{len(self._pictures)} of {len(requests)} pictures were drawn: {failed}")
        if not self._pictures:
            raise self._failures[0]
        return [self._pictures[part] for part in sorted(self._pictures)]

    def _let_go(self, parts: Sequence[int]) -> None:
        """Note that nobody waits for these requests any more."""
        for part in parts:
            self._paid.ended(self._task.id, part)

    @property
    def _check(self) -> Check:
        report = self._report

        def check() -> None:
            if report.cancelled():
                raise Cancelled()

        return check

    def _send(self, waiting: deque[PaidRequest]) -> None:
        """Send what may be sent now; after a failure, only what was sent before is followed."""
        while waiting:
            try:
                accepted = self._paid.send(waiting[0], self._check)
            except APIError as error:
                if self._worth_waiting(error):
                    return
                self._failures.append(error)
                self._let_go([waiting[0].part])
                waiting.clear()
                return
            if accepted is None:
                return
            waiting.popleft()
            self._active.append(self._follow(accepted))

    def _worth_waiting(self, error: APIError) -> bool:
        """Whether others' tasks use up what the host allows at once; that passes, so long waits are borne."""
        patient = self._api.clock.monotonic() - self._began < STUCK_S
        return error.code == "api-busy" and error.wait_s is None and patient

    def _poll(self, remote: Followed) -> None:
        try:
            result = remote.poll(self._check)
            if result is None:
                return
            self._pictures[remote.part] = self._fetch(remote, result)
        except APIError as error:
            self._failures.append(error)
        self._active.remove(remote)
        self._let_go([remote.part])

    def _fetch(self, remote: Followed, result: dict[str, Any] | None) -> Picture:
        """The picture of a task that is ready; asked for once more if its address has expired."""
        row = fault("task-result-expired")
        for _ in range(2):
            if result is not None:
                sample = self._read(result)
                if not isinstance(sample.address, str) or not sample.address:
                    raise failure(fault("task-without-result"), self._api.host, task=remote.id)
                try:
                    return self._picture(remote, self._download(sample.address), sample.seed)
                except APIError as error:
                    if error.code not in _EXPIRED:
                        raise
                except ValidationError:
                    row = fault("task-result-not-a-picture")
            result = remote.poll(self._check)
        raise failure(row, self._api.host, task=remote.id)

    def _download(self, address: str) -> bytes:
        return self._api.download(
            address, limit_bytes=PICTURE_BYTES, total_s=PICTURE_S, check=self._check, guard=self._guard
        )

    def _picture(self, remote: Followed, data: bytes, seed: object) -> Picture:
        fitted = fit_picture(data, remote.id, self._task.width, self._task.height)
        used = seed if isinstance(seed, int) and seed >= 0 else self._task.seed + remote.part
        return Picture(fitted.png, used, fitted.native_width, fitted.native_height)

    def _tell(self) -> None:
        """Report how far all pictures are, when that has changed."""
        shares = sum(remote.progress for remote in self._active) + len(self._pictures)
        percent = int(100 * shares / self._task.count)
        if percent > self._told:
            self._told = percent
            self._report.progress(f"Drawing at {self._api.host}", percent, 100)
