"""Answers of remote services that seldom change, kept for a while, shared by all processes.

Kept in our own database, so that workers on other machines share them too, and without anything of the
request: no key is ever written. Only `APIService` reads this.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import delete

from fluxsmith.core.database import Database
from fluxsmith.core.tables import KeptAnswerRow


@dataclass(frozen=True)
class KeptAnswer:
    """An answer's body, its validator, and until when it need not be asked for again."""

    body: bytes
    etag: str | None
    fresh_until: datetime


class AnswerCache(Protocol):
    """Where answers are kept, by name."""

    def find(self, name: str) -> KeptAnswer | None:
        """What is kept under a name, fresh or not."""

    def keep(self, name: str, body: bytes, etag: str | None, now: datetime, lifetime_s: float) -> None:
        """Keep an answer."""

    def drop(self, prefix: str) -> None:
        """Forget all whose names begin so."""


class NoCache:
    """Keeps nothing."""

    def find(self, name: str) -> KeptAnswer | None:
        """Nothing."""
        return None

    def keep(self, name: str, body: bytes, etag: str | None, now: datetime, lifetime_s: float) -> None:
        """Not kept."""

    def drop(self, prefix: str) -> None:
        """Nothing to forget."""


class DatabaseCache:
    """Keeps answers in a table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def find(self, name: str) -> KeptAnswer | None:
        """What is kept under a name, fresh or not."""
        with self._db.reading() as session:
            row = session.get(KeptAnswerRow, name)
        return None if row is None else KeptAnswer(row.body.encode(), row.etag, row.fresh_until)

    def keep(self, name: str, body: bytes, etag: str | None, now: datetime, lifetime_s: float) -> None:
        """Keep an answer in place of an older one."""
        fresh_until = now + timedelta(seconds=lifetime_s)
        with self._db.session() as session:
            session.merge(KeptAnswerRow(name=name, body=body.decode(), etag=etag, fresh_until=fresh_until))

    def drop(self, prefix: str) -> None:
        """Forget all whose names begin so."""
        with self._db.session() as session:
            session.execute(
                delete(KeptAnswerRow).where(KeptAnswerRow.name.startswith(prefix, autoescape=True))
            )


def hash_of(key: str | None) -> str:
    """A short name for a key, which does not tell it: answers of two accounts are kept apart."""
    return hashlib.sha256(b"fluxsmith-cache\0" + (key or "").encode()).hexdigest()[:16]
