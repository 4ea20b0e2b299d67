"""The database: its schema, its transactions, and its errors in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from fluxsmith.core.database import Database
from fluxsmith.core.tables import DatasetRow, Table, WorkerRow
from fluxsmith.errors import ConfigError, StorageError

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/data/fluxsmith.db")
    database.migrate()
    yield database
    database.close()


def add_worker(db: Database, name: str) -> None:
    with db.session() as session:
        session.add(
            WorkerRow(id=name, pid=1, host="h", state="ready", detail="", started_at=THEN, heartbeat_at=THEN)
        )


def count_workers(db: Database) -> int:
    with db.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(WorkerRow)) or 0


def test_the_migrations_make_exactly_the_tables_that_the_code_maps(db: Database) -> None:
    ours = set(Table.metadata.tables)
    with db.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or name in ours,
            },
        )
        assert compare_metadata(context, Table.metadata) == []


def test_a_new_database_is_pending_until_it_is_migrated(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/new/fluxsmith.db")
    assert database.pending()
    database.migrate()
    assert not database.pending()
    database.close()


def test_migrating_twice_changes_nothing_and_backs_nothing_up(db: Database) -> None:
    add_worker(db, "w")
    db.migrate()
    assert count_workers(db) == 1
    assert db.path is not None
    assert not list(db.path.parent.glob("*.bak"))


def test_an_old_database_is_backed_up_before_it_is_migrated(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_worker(db, "kept")
    monkeypatch.setattr("fluxsmith.core.schema.head", lambda: "a later revision")

    db.migrate()

    assert db.path is not None
    (backup,) = db.path.parent.glob("*.bak")
    copy = Database(f"sqlite:///{backup}")
    assert count_workers(copy) == 1
    assert backup.stat().st_mode & 0o777 == 0o600
    copy.close()


def test_the_database_file_is_private(db: Database) -> None:
    assert db.path is not None
    assert db.path.stat().st_mode & 0o777 == 0o600


def test_an_error_rolls_everything_back(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.session() as session:
        session.add(DatasetRow(id="d", owner_id="o", name="n", created_at=THEN))
        session.flush()
        raise ZeroDivisionError
    with db.reading() as session:
        assert session.get(DatasetRow, "d") is None


def test_times_come_back_in_utc(db: Database) -> None:
    add_worker(db, "w")
    with db.reading() as session:
        row = session.get(WorkerRow, "w")
    assert row is not None
    assert row.heartbeat_at == THEN


def test_foreign_keys_are_enforced(db: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), db.session() as session:
        session.execute(
            sa.text("INSERT INTO events VALUES ('no such job', 1, 0, '2026-01-01', 'state', '{}')")
        )


def test_reading_does_not_wait_for_a_writer(db: Database) -> None:
    with db.session() as session:
        session.execute(sa.text("DELETE FROM workers"))
        assert count_workers(db) == 0


def test_many_threads_write_without_losing_or_locking(db: Database) -> None:
    def write(thread: int) -> None:
        for number in range(10):
            add_worker(db, f"{thread}-{number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert count_workers(db) == 80


def test_what_a_transaction_read_is_still_true_when_it_writes(db: Database) -> None:
    add_worker(db, "counter")

    def increment() -> None:
        for _ in range(20):
            with db.session() as session:
                row = session.get(WorkerRow, "counter")
                assert row is not None
                row.pid += 1

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with db.reading() as session:
        row = session.get(WorkerRow, "counter")
    assert row is not None
    assert row.pid == 81


def test_a_full_disk_is_told_in_words_and_loses_nothing(db: Database) -> None:
    add_worker(db, "before")
    with db.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    @sa.event.listens_for(db.engine, "begin")
    def no_room(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    with pytest.raises(StorageError) as caught, db.session() as session:
        for number in range(2000):
            session.execute(
                sa.text("INSERT INTO datasets VALUES (:id, 'o', :name, '2026-01-01', NULL)"),
                {"id": str(number), "name": "x" * 200},
            )

    assert caught.value.code == "disk-full"
    assert "FLUXSMITH_DATA_DIR" in caught.value.hint
    assert count_workers(db) == 1


def test_a_file_that_is_no_database_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "fluxsmith.db").write_text("this is a letter to my aunt, and quite long enough " * 20)
    database = Database(f"sqlite:///{tmp_path}/fluxsmith.db")
    with pytest.raises(StorageError, match="not a SQLite database") as caught:
        database.migrate()
    assert caught.value.code == "database-damaged"
    database.close()


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    database = Database(f"sqlite:///{tmp_path}/file/fluxsmith.db")
    with pytest.raises(StorageError) as caught:
        database.migrate()
    assert caught.value.code == "data-folder-not-writable"
    database.close()


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://root:secret@host/db", "sqlite://", "sqlite:///:memory:"]
)
def test_a_url_that_we_cannot_use_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Database(url)
    assert "secret" not in str(caught.value)
