"""The errors that fluxsmith raises on purpose, and what each means at an edge.

    FluxsmithError
    ├── ConfigError         a setting is missing or wrong            500, exit 78
    ├── ValidationError     the input is outside what is allowed     422, exit 2
    │   └── UnsupportedError  the model lacks the capability         422, exit 2
    ├── PermissionDenied    known, but not the caller's to use       403, exit 77
    ├── NotFoundError       no such thing, or not visible            404, exit 66
    ├── ConflictError       the thing is in another state            409, exit 75
    ├── CapacityError       a limit, memory or a quota is used up    429, exit 75
    │   └── TaskLimitError  too many tasks of one owner are active   429, exit 75
    ├── StorageError        a file or folder refused                 507, exit 74
    ├── APIError            a remote service refused or failed       502, exit 69
    ├── EngineError         training or sampling failed              500, exit 70
    ├── Cancelled           somebody asked for the work to stop      409, exit 130
    └── LeaseLost           another process carries the job out now  (never seen by people)

Exit codes follow BSD's sysexits.h where one fits. The class attributes below are the only place
that says how a kind looks at an edge; `web`, `ui` and `cli` render from them and decide nothing.
"""

from __future__ import annotations

from typing import ClassVar


class FluxsmithError(Exception):
    """Something that went wrong in a way a person can understand and act on.

    Args:
        code: stable, kebab-case; safe for programs to compare.
        message: what happened, one or two sentences, with the numbers.
        hint: the next thing to do; empty if there is none.
        field: the input field at fault (dotted), for forms and 422 bodies.
    """

    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, hint: str = "", field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.field = field

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(FluxsmithError):
    """A setting is missing, malformed or impossible here."""

    status = 500
    exit_code = 78


class ValidationError(FluxsmithError):
    """The input is outside what is allowed; nothing was done."""

    status = 422
    exit_code = 2


class UnsupportedError(ValidationError):
    """The chosen model or provider cannot do what was asked."""


class PermissionDenied(FluxsmithError):
    """The thing exists, but not for this actor."""

    status = 403
    exit_code = 77


class NotFoundError(FluxsmithError):
    """There is no such thing, or it is not visible to this actor."""

    status = 404
    exit_code = 66


class ConflictError(FluxsmithError):
    """The thing is in a state in which this cannot be done."""

    status = 409
    exit_code = 75


class CapacityError(FluxsmithError):
    """A limit is reached: memory, disk quota, tasks in flight."""

    status = 429
    exit_code = 75


class TaskLimitError(CapacityError):
    """As many tasks of one owner wait or run as may.

    Args:
        active: how many.
        limit: how many may.
    """

    def __init__(self, active: int, limit: int) -> None:
        super().__init__(
            "too-many-tasks",
            f"{active} of your tasks wait or run; the limit is {limit}.",
            hint="Wait until one has ended, or cancel one.",
        )
        self.active = active
        self.limit = limit


class StorageError(FluxsmithError):
    """A file or a folder refused: full, read-only, vanished, damaged."""

    status = 507
    exit_code = 74


class APIError(FluxsmithError):
    """A remote service refused, failed or could not be reached.

    Args:
        unsure: whether what was asked may have been carried out, and charged, all the same.
        passing: whether the same may well succeed a little later.
        wait_s: how long the service asks to wait; None if it does not say.
    """

    status = 502
    exit_code = 69

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        field: str | None = None,
        unsure: bool = False,
        passing: bool = False,
        wait_s: float | None = None,
    ) -> None:
        super().__init__(code, message, hint=hint, field=field)
        self.unsure = unsure
        self.passing = passing
        self.wait_s = wait_s


class EngineError(FluxsmithError):
    """Training or sampling failed for a reason of its own."""

    status = 500
    exit_code = 70


class Cancelled(FluxsmithError):
    """The work was asked to stop and stopped."""

    status = 409
    exit_code = 130

    def __init__(self, message: str = "Cancelled.") -> None:
        super().__init__("cancelled", message)


class LeaseLost(FluxsmithError):
    """Another process has taken this work over; what this one writes is refused."""

    def __init__(self, job_id: str) -> None:
        super().__init__("lease-lost", f"Job {job_id} is carried out by another process now.")
