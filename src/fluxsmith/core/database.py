"""The database: one SQLite file (WAL) or one PostgreSQL database, with ours and DBOS's tables in it.

Hands out sessions and brings the schema up to date. It knows no table of its own; rows belong to the
repositories beside each service. DBOS's tables share the database so that a row and the job that works
on it are one commit. Sources: https://sqlite.org/wal.html, https://sqlite.org/rescode.html,
SQLAlchemy's "Serializable isolation / Savepoints / Transactional DDL" for pysqlite.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fluxsmith.core import schema
from fluxsmith.core.logging import get_logger
from fluxsmith.errors import ConfigError, NotFoundError, StorageError, UnsupportedError

BUSY_TIMEOUT_MS = 30_000  # writers queue for the one write lock; DBOS waits as long
POOL_SIZE = 8
POOL_OVERFLOW = 40  # as many as the web server's worker threads
KEPT_BACKUPS = 3
FULL_BELOW_BYTES = 1 << 20  # an I/O error with less free space than this is a full disk

_log = get_logger(__name__)
_BEGIN = "sqlite_begin"  # execution option: which BEGIN a transaction opens with


class Database:
    """Sessions on one database, from any thread, and its migrations.

    Args:
        url: `sqlite:///path/to/file.db` or `postgresql+psycopg://user:password@host/name`.
    """

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.path = Path(self.url.database) if self.is_sqlite and self.url.database else None
        self.engine = _create_engine(self.url, self.path)
        self._turn = threading.Lock()
        self._readers = self.engine.execution_options(**{_BEGIN: "BEGIN DEFERRED"})

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction that may write: commits on success, rolls back on any error.

        On SQLite it holds the write lock from its start, so that what it read is still true when it
        writes; keep it short, and never open a second one inside.

        Raises:
            StorageError: the disk is full, or the file is locked, read-only or damaged.
        """
        with (
            self._translated(),
            self._in_turn(),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """One transaction that only reads: a consistent snapshot that never waits for writers."""
        with self._translated(), Session(self._readers, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Bring our tables and DBOS's to the newest version; a SQLite file is backed up before.

        Raises:
            StorageError: the folder or the file cannot be written.
        """
        with self._translated():
            if self.path is not None:
                self._prepare_file(self.path)
            if schema.pending(self.engine):
                if self.path is not None and schema.current(self.engine) is not None:
                    self._back_up(self.path)
                schema.upgrade(self.engine)
            schema.upgrade_dbos(self.url.render_as_string(hide_password=False))

    def pending(self) -> bool:
        """Whether there is a migration to run, or the database does not exist yet."""
        if self.path is not None and not self.path.exists():
            return True
        with self._translated():
            return schema.pending(self.engine)

    def check(self) -> None:
        """Read one value, to find out whether the database answers.

        Raises:
            StorageError: it does not.
        """
        with self.reading() as session:
            session.execute(sa.text("SELECT 1"))

    def backup(self) -> Path:
        """Copy a SQLite database beside itself while others use it, and return where the copy is.

        Raises:
            UnsupportedError: it is not SQLite.
            NotFoundError: it does not exist yet.
            StorageError: the copy cannot be written.
        """
        if self.path is None:
            raise UnsupportedError(
                "backup-unsupported",
                "Only a SQLite database is copied here.",
                hint="Use pg_dump for PostgreSQL.",
            )
        if not self.path.exists():
            raise NotFoundError("database-not-found", f"There is no database {self.path} yet.")
        with self._translated():
            return self._back_up(self.path)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Let the threads of this process write to SQLite one after the other.

        SQLite lets whoever finds it locked sleep and look again, so that among many some wait for seconds.
        Who waits here too long goes on, and hears from SQLite what is the matter.
        """
        if not self.is_sqlite:
            yield
            return
        held = self._turn.acquire(timeout=BUSY_TIMEOUT_MS / 1000)
        try:
            yield
        finally:
            if held:
                self._turn.release()

    def _prepare_file(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        except OSError as error:
            raise StorageError(
                "data-folder-not-writable",
                f"The database {path} cannot be written: {error.strerror}.",
                hint="Give your user write access to the folder, or set FLUXSMITH_DATA_DIR to another one.",
            ) from error

    def _back_up(self, path: Path) -> Path:
        """Copy the file beside itself with SQLite's own online backup, and keep the newest few."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        target = path.with_name(f"{path.name}.{stamp}.bak")
        target.touch(mode=0o600)
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
        for old in sorted(path.parent.glob(f"{path.name}.*.bak"))[:-KEPT_BACKUPS]:
            old.unlink(missing_ok=True)
        return target

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what the database driver raises about disk and files into words."""
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            known = _storage_error(error, self.path)
            if known is None:
                raise
            raise known from error


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise ConfigError(
            "database-url-malformed",
            "FLUXSMITH_DATABASE_URL is not a database URL.",
            hint="Use sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/name.",
        ) from error
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise ConfigError(
        "database-unsupported",
        "FLUXSMITH_DATABASE_URL must name a SQLite file or a PostgreSQL database, "
        f"not {parsed.render_as_string(hide_password=True)}.",
        hint="Use sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/name.",
    )


def _create_engine(url: sa.URL, path: Path | None) -> sa.Engine:
    if path is None:
        return sa.create_engine(url, pool_size=POOL_SIZE, max_overflow=POOL_OVERFLOW, pool_pre_ping=True)
    engine = sa.create_engine(url, pool_size=POOL_SIZE, max_overflow=POOL_OVERFLOW)
    sa.event.listen(engine, "connect", _configure_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # acknowledged means on disk
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN IMMEDIATE"))


def _storage_error(error: Exception, path: Path | None) -> StorageError | None:
    """The StorageError for a driver's error about disk or file; None for any other error."""
    cause: Any = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if path is None:
        if isinstance(error, sa.exc.OperationalError):
            return StorageError(
                "database-unreachable",
                f"The database does not answer: {str(cause).strip().splitlines()[0]}.",
                hint="Check FLUXSMITH_DATABASE_URL and that PostgreSQL runs.",
            )
        return None
    number = (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF
    if number == sqlite3.SQLITE_IOERR and _free_bytes(path) < FULL_BELOW_BYTES:
        number = sqlite3.SQLITE_FULL
    found = _SQLITE_ERRORS.get(number)
    if found is None:
        return None
    code, message, hint = found
    _log.warning("SQLite refused.", cause=str(cause))
    return StorageError(code, message.format(path=path, folder=path.parent), hint=hint)


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return FULL_BELOW_BYTES


_ELSEWHERE = "Give your user write access to it, or set FLUXSMITH_DATA_DIR to another folder."
_SQLITE_ERRORS = {
    sqlite3.SQLITE_FULL: (
        "disk-full",
        "No space left in {folder} for the database.",
        "Delete old results, or set FLUXSMITH_DATA_DIR to a folder on a larger disk.",
    ),
    sqlite3.SQLITE_IOERR: (
        "database-io",
        "Reading or writing the database {path} failed.",
        "Check the disk and the folder; then start fluxsmith again.",
    ),
    sqlite3.SQLITE_BUSY: (
        "database-locked",
        "The database {path} has been locked by another process for too long.",
        "Close other programs that use the file, then try again.",
    ),
    sqlite3.SQLITE_READONLY: ("database-not-writable", "The database {path} is read-only.", _ELSEWHERE),
    sqlite3.SQLITE_CANTOPEN: ("database-not-writable", "The database {path} cannot be opened.", _ELSEWHERE),
    sqlite3.SQLITE_PERM: ("database-not-writable", "The database {path} cannot be opened.", _ELSEWHERE),
    sqlite3.SQLITE_CORRUPT: (
        "database-damaged",
        "The database {path} is damaged.",
        "Put the newest .bak file beside it in its place.",
    ),
    sqlite3.SQLITE_NOTADB: (
        "database-damaged",
        "{path} is not a SQLite database.",
        "Put the newest .bak file beside it in its place, or choose another FLUXSMITH_DATA_DIR.",
    ),
}
