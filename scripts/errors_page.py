"""Writes docs/reference/errors.md from the code's own tables: run it after changing one of them.

Usage: python scripts/errors_page.py
"""

from __future__ import annotations

from pathlib import Path

from fluxsmith import errors
from fluxsmith.core.api_faults import FAULTS, Fault
from fluxsmith.errors import FluxsmithError

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "errors.md"
HEAD = """\
# Errors

Written by `scripts/errors_page.py` from the code's tables; a test says when it is stale.

## Kinds

Every error is of one kind, which decides what it looks like to a program.

| kind | means | HTTP | exit code |
|---|---|---|---|
"""
CLOUD = """
## Remote services

What you read when BFL's cloud, fal, or another fluxsmith, fails. Hints name `ADDRESS` and `KEY`: they are
`FLUXSMITH_BFL_BASE_URL` and `FLUXSMITH_BFL_API_KEY`, or `FLUXSMITH_FAL_BASE_URL` and `FLUXSMITH_FAL_KEY`.
`HOST` stands for the host, `TASK` for the id of
the task there, `: …` for what the service itself says. *Sent again* tells what happens by itself before you
read it: requests that change nothing are repeated with growing waits, or as the service advises; a paid
request only where it certainly was not carried out. *May be charged* marks failures after which a paid
request may have been carried out all the same: such a one is looked for where the service can list what it
has, and never repeated otherwise.

| code | when | what you read | what to do | sent again | may be charged |
|---|---|---|---|---|---|
"""
AGAIN = {"always": "yes", "reads": "what changes nothing", "never": "no"}
WORDS = {
    "host": "HOST",
    "status": "STATUS",
    "said": ": …",
    "wait": "TIME",
    "limit": "LIMIT",
    "task": "TASK",
    "address": "ADDRESS",
    "key": "KEY",
}


def page() -> str:
    """The whole page."""
    return HEAD + "".join(map(_kind, _kinds())) + CLOUD + "".join(map(_fault, FAULTS))


def _kinds() -> list[type[FluxsmithError]]:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    unseen = (FluxsmithError, errors.LeaseLost)
    return [kind for kind in found if issubclass(kind, FluxsmithError) and kind not in unseen]


def _kind(kind: type[FluxsmithError]) -> str:
    means = (kind.__doc__ or "").splitlines()[0]
    return f"| {kind.__name__} | {means} | {kind.status} | {kind.exit_code} |\n"


def _fault(fault: Fault) -> str:
    cells = (
        f"`{fault.code}`",
        fault.when,
        fault.message.format(**WORDS),
        fault.hint.format(**WORDS),
        AGAIN[fault.repeated],
        "yes" if fault.unsure else "",
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
