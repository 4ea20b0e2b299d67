"""How long to follow a task that was paid for: it is not given up for a broken poll.

Passing faults are waited out until nothing has moved for long; other ones may happen a few times in a row: a
task may not be known everywhere at once, and a proxy may show a web page.
"""

from __future__ import annotations

from fluxsmith.core.api_faults import failure, fault
from fluxsmith.core.api_service import APIService
from fluxsmith.errors import APIError

MOST_ODD_POLLS = 4  # in a row
LOST = "api-no-such-endpoint"  # some servers answer an unknown task with 404


class RemotePatience:
    """Counts what a task's polls bring.

    Args:
        stuck_s: how long nothing may move.
    """

    def __init__(self, api: APIService, task_id: str, stuck_s: float) -> None:
        self._api = api
        self._task_id = task_id
        self._stuck_s = stuck_s
        self._news: object = None
        self._moved_at = api.clock.monotonic()
        self._odd_polls = 0

    def missed(self, error: APIError) -> None:
        """Bear a poll that failed, or raise what it failed by.

        Raises:
            APIError: it has failed too often, or the task is stuck.
        """
        if error.code == LOST:
            error = failure(fault("task-lost"), self._api.host, task=self._task_id)
        self._odd_polls += 0 if error.passing else 1
        if self._odd_polls >= MOST_ODD_POLLS:
            raise error
        self._check_stuck()

    def answered(self) -> None:
        """Note that a poll was answered, whatever it said."""
        self._odd_polls = 0

    def still_runs(self, news: object) -> None:
        """Note what the task says of itself.

        Raises:
            APIError: it has said the same for too long.
        """
        if news != self._news:
            self._news, self._moved_at = news, self._api.clock.monotonic()
        self._check_stuck()

    def _check_stuck(self) -> None:
        if self._api.clock.monotonic() - self._moved_at > self._stuck_s:
            raise failure(fault("task-stuck"), self._api.host, task=self._task_id, wait_s=self._stuck_s)
