"""A job's events as server-sent events: from any number on, until the job has ended.

A page that lost its connection goes on where it was: browsers send the last number by themselves.
Source: the HTML standard, "Server-sent events".
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import anyio
from anyio.to_thread import run_sync

from fluxsmith.core.jobs import Event, Job, JobQueue

POLL_S = 0.3
SILENCE_S = 15.0  # proxies close what is silent for longer


async def stream(jobs: JobQueue, job_id: str, after: int) -> AsyncIterator[str]:
    """The text of the stream, event by event; ends when the job has ended and all is told."""
    silent_s = 0.0
    while True:
        job = await run_sync(jobs.get, job_id)  # before the events: what it wrote last is then among them
        events = await run_sync(jobs.events, job_id, after)
        for event in events:
            after = event.seq
            yield _line(event)
        if job.ended:
            yield _end(job)
            return
        silent_s = 0.0 if events else silent_s + POLL_S
        if silent_s >= SILENCE_S:
            silent_s = 0.0
            yield ": still here\n\n"
        await anyio.sleep(POLL_S)


def _line(event: Event) -> str:
    data = json.dumps({"at": event.at.isoformat(), **event.data})
    return f"id: {event.seq}\nevent: {event.kind}\ndata: {data}\n\n"


def _end(job: Job) -> str:
    return f"event: end\ndata: {json.dumps({'state': job.state})}\n\n"
