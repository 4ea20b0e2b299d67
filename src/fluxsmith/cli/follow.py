"""Follows a job from the shell until it ends; Ctrl-C cancels it and waits for it to have ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fluxsmith.errors import Cancelled, EngineError

if TYPE_CHECKING:
    from fluxsmith.core.jobs import Event, Job, JobQueue

POLL_S = 0.2
CANCEL_WITHIN_S = 60.0
LINE_EVERY = 0.1  # of the whole, where there is no terminal to draw a bar on


def follow(jobs: JobQueue, job_id: str) -> Job:
    """Show how a job goes on, on standard error, and return it when it is done.

    Raises:
        Cancelled: it was cancelled, here by Ctrl-C or elsewhere.
        EngineError: it failed; with the code, message and hint that the job has.
    """
    console = Console(stderr=True)
    view = _Bar(console) if console.is_terminal else _Lines(console)
    with view:
        try:
            job = _until_ended(jobs, job_id, view)
        except KeyboardInterrupt:
            view.say("Cancelling…")
            job = _cancelled(jobs, job_id)
    if job.state == "cancelled":
        raise Cancelled("Cancelled; nothing was kept.")
    if job.error is not None:
        raise EngineError(job.error.code, job.error.message, hint=job.error.hint)
    return job


def _until_ended(jobs: JobQueue, job_id: str, view: _View) -> Job:
    seen = 0
    while True:
        job = jobs.get(job_id)
        for event in jobs.events(job_id, after=seen):
            seen = event.seq
            view.tell(event)
        view.show(job)
        if job.ended:
            return job
        time.sleep(POLL_S)


def _cancelled(jobs: JobQueue, job_id: str) -> Job:
    job = jobs.request_cancel(job_id)
    deadline = time.monotonic() + CANCEL_WITHIN_S
    while not job.ended and time.monotonic() < deadline:
        time.sleep(POLL_S)
        job = jobs.get(job_id)
    if not job.ended:
        raise Cancelled("Asked the job to stop; it has not stopped yet, and will at its next step.")
    return job


class _View:
    """What both ways of showing a job have in common: messages and the last loss."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.loss = ""

    def __enter__(self) -> _View:
        return self

    def __exit__(self, *_error: object) -> None:
        return

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False, highlight=False)

    def tell(self, event: Event) -> None:
        """Take one event in."""
        loss = event.data.get("loss")
        if event.kind == "message":
            self.say(str(event.data.get("text", "")))
        elif isinstance(loss, float):
            self.loss = f"loss {loss:.4f}"

    def show(self, job: Job) -> None:
        """Show how far the job is."""
        raise NotImplementedError


class _Bar(_View):
    """A progress bar on a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]} {task.fields[left]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> _View:
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def show(self, job: Job) -> None:
        """Move the bar."""
        if self._task is None:
            self._task = self._progress.add_task("", total=None, loss="", left="")
        self._progress.update(
            self._task,
            description=_stage(job),
            completed=job.step,
            total=job.total or None,
            loss=self.loss,
            left="" if job.eta_s is None else f"{job.eta_s:.0f} s left",
        )


class _Lines(_View):
    """Now and then a line, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._last: tuple[str, int] | None = None

    def show(self, job: Job) -> None:
        """Print a line when the stage changes or a good part of it is done."""
        now = (_stage(job), int(job.progress / LINE_EVERY))
        if now != self._last:
            self._last = now
            steps = f" {job.step}/{job.total}" if job.total else ""
            self.say(f"{now[0]}{steps} {self.loss}".rstrip())


def _stage(job: Job) -> str:
    words = "waiting" if job.state == "queued" else job.stage or job.state
    return f"{words[:1].upper()}{words[1:]}"
