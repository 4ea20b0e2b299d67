"""Files: whole or not at all, private, hashed; and the words for what a disk can refuse.

The full and the read-only disk are a real tmpfs, the stranger is a real other user.
"""

from __future__ import annotations

import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxsmith.core.storage import StorageService
from fluxsmith.errors import StorageError, ValidationError
from tests.disks import make_read_only, small_disk

NOBODY = 65534
SIZE_BYTES = 3_500_000  # more than one chunk


@pytest.fixture
def storage(tmp_path: Path) -> StorageService:
    return StorageService(tmp_path / "files")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def files_under(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["bytes", "file", "path"])
def test_what_is_put_is_got_with_its_hash_and_size(
    storage: StorageService, tmp_path: Path, kind: str
) -> None:
    data = os.urandom(SIZE_BYTES)
    source = tmp_path / "source"
    source.write_bytes(data)
    stored = storage.put(
        "a/b.bin",
        {"bytes": data, "file": io.BytesIO(data), "path": source}[kind],  # type: ignore[arg-type]
    )
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert (stored.key, stored.size_bytes) == ("a/b.bin", SIZE_BYTES)
    assert storage.get("a/b.bin", sha256=stored.sha256) == data
    assert storage.local_path("a/b.bin").read_bytes() == data


def test_a_file_is_read_in_chunks(storage: StorageService) -> None:
    storage.put("a", bytes(SIZE_BYTES))
    chunks = list(storage.open("a"))
    assert len(chunks) > 1 and sum(map(len, chunks)) == SIZE_BYTES


def test_an_empty_file_is_a_file(storage: StorageService) -> None:
    assert storage.put("a", b"").size_bytes == 0
    assert storage.exists("a") and storage.get("a") == b""


def test_a_second_put_replaces_the_first(storage: StorageService) -> None:
    storage.put("a", b"first")
    storage.put("a", b"second")
    assert storage.get("a") == b"second"


def test_a_file_is_not_there_until_it_is_whole(storage: StorageService) -> None:
    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            seen.append(storage.get("a"))
            return super().read(size)

    seen: list[bytes] = []
    storage.put("a", b"old")
    storage.put("a", Watched(bytes(SIZE_BYTES)))
    assert len(seen) > 2 and set(seen) == {b"old"}
    assert len(storage.get("a")) == SIZE_BYTES


def test_a_source_that_breaks_off_leaves_nothing(storage: StorageService, tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1_000_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    storage.put("a/old", b"old")
    with pytest.raises(StorageError, match="could not be read or written: Input/output error"):
        storage.put("a/old", Broken(bytes(SIZE_BYTES)))
    assert storage.get("a/old") == b"old"
    assert files_under(tmp_path) == [tmp_path / "files/a/old"]


def test_a_process_killed_while_it_writes_leaves_no_file(storage: StorageService, tmp_path: Path) -> None:
    code = (
        "import sys, itertools, pathlib; from fluxsmith.core.storage import StorageService\n"
        "class Endless:\n"
        "    def read(self, size): print('.', flush=True); return bytes(size)\n"
        "StorageService(pathlib.Path(sys.argv[1])).put('a/b', Endless())"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, tmp_path / "files"], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(4):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert not storage.exists("a/b")
    assert storage.put("a/b", b"whole").size_bytes == 5
    assert storage.put("a/kept.part", b"a name like that").size_bytes == 16
    assert storage.sweep() == 0, "somebody may still be writing it"
    assert storage.sweep(older_than_s=0) == 1
    assert {path.name for path in files_under(tmp_path)} == {"b", "kept.part"}


def test_file_and_folder_are_on_the_disk_before_put_returns(
    storage: StorageService, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def record(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fsync", record)
    folder = storage.local_path(storage.put("a/b", b"1").key).parent
    assert str(folder.parent) in synced  # the new folder's name
    assert any(path.endswith(".part") for path in synced)  # the content, before it gets its name
    assert synced[-1] == str(folder)  # the name


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_files_and_folders_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        StorageService(tmp_path / "files").put("a/b/c", b"private")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"files": 0o700, "a": 0o700, "b": 0o700, "c": 0o600}


def test_folders_that_were_open_to_others_are_closed(tmp_path: Path) -> None:
    (tmp_path / "files/a").mkdir(parents=True, mode=0o755)
    StorageService(tmp_path / "files").put("a/b", b"1")
    assert stat.S_IMODE((tmp_path / "files/a").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "/a",
        "a//b",
        "a/",
        "a\0b",
        "a\nb",
        "a\\b",
        "C:a",
        ".b",
        "ä",
        "a#1",
    ],
)
def test_a_key_that_could_lead_elsewhere_is_refused(
    storage: StorageService, tmp_path: Path, key: str
) -> None:
    for attempt in (
        lambda: storage.put(key, b"1"),
        lambda: storage.get(key),
        lambda: storage.exists(key),
        lambda: storage.local_path(key),
        lambda: storage.delete(key),
    ):
        with pytest.raises(ValidationError, match="cannot be the name of a stored file"):
            attempt()
    assert files_under(tmp_path) == []


@pytest.mark.parametrize("key", ["a" * 201, "/".join(["ab"] * 101)])
def test_a_key_that_no_disk_could_hold_is_refused(storage: StorageService, key: str) -> None:
    with pytest.raises(ValidationError, match="cannot be the name of a stored file"):
        storage.put(key, b"1")


def test_content_of_another_hash_is_not_stored(storage: StorageService, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is not what it should be") as caught:
        storage.put("a", b"content", sha256="0" * 64)
    assert caught.value.code == "file-damaged"
    assert files_under(tmp_path) == []


def test_a_file_changed_on_the_disk_is_noticed(storage: StorageService) -> None:
    stored = storage.put("a", b"content")
    storage.check("a", stored.sha256)
    storage.local_path("a").write_bytes(b"c0ntent")
    for attempt in (
        lambda: storage.get("a", sha256=stored.sha256),
        lambda: storage.check("a", stored.sha256),
    ):
        with pytest.raises(StorageError) as caught:
            attempt()
        assert caught.value.code == "file-damaged"


def test_a_file_that_vanished_is_named(storage: StorageService, tmp_path: Path) -> None:
    storage.put("a/b", b"1")
    storage.local_path("a/b").unlink()
    for attempt in (lambda: storage.get("a/b"), lambda: storage.local_path("a/b")):
        with pytest.raises(StorageError, match=f"'{tmp_path}/files/a/b' is missing") as caught:
            attempt()
        assert caught.value.code == "file-vanished"
    with pytest.raises(StorageError, match="'/nowhere' is missing"):
        storage.put("a/b", Path("/nowhere"))


def test_deleting_is_done_once_and_may_be_asked_twice(storage: StorageService) -> None:
    storage.put("a/b", b"1")
    storage.delete("a/b")
    storage.delete("a/b")
    assert not storage.exists("a/b")


def test_deleting_a_folder_leaves_its_neighbours(storage: StorageService, tmp_path: Path) -> None:
    for key in ("x/1/a", "x/1/b/c", "x/10/a", "x/1a"):
        storage.put(key, b"1")
    storage.delete_prefix("x/1")
    storage.delete_prefix("x/1")
    assert sorted(files_under(tmp_path)) == [tmp_path / "files/x/10/a", tmp_path / "files/x/1a"]
    assert not (tmp_path / "files/x/1").exists()


def test_a_full_disk_says_how_full_and_keeps_what_was_there(disk: Path) -> None:
    storage = StorageService(disk / "files")
    storage.put("a", b"old")
    with pytest.raises(
        StorageError, match=r"No space left for .*/a' \(.* of 1\.0 MB free; nothing"
    ) as caught:
        storage.put("a", bytes(SIZE_BYTES))
    assert caught.value.code == "disk-full" and "FLUXSMITH_DATA_DIR" in caught.value.hint
    assert storage.get("a") == b"old"
    assert files_under(disk) == [disk / "files/a"]
    assert storage.put("b", bytes(300_000)).size_bytes == 300_000


def test_a_read_only_disk_is_named_as_such(disk: Path) -> None:
    storage = StorageService(disk / "files")
    storage.put("a/b", b"old")
    make_read_only(disk)
    for attempt in (
        lambda: storage.put("a/b", b"new"),
        lambda: storage.put("c/d", b"new"),
        lambda: storage.delete("a/b"),
        lambda: storage.delete_prefix("a"),
    ):
        with pytest.raises(StorageError, match="is on a file system that is mounted read-only") as caught:
            attempt()
        assert caught.value.code == "read-only"
    assert storage.get("a/b") == b"old"


AS_ANOTHER_USER = f"""
import os, sys
from pathlib import Path
from fluxsmith.core.storage import StorageService
from fluxsmith.errors import StorageError
if os.geteuid() == 0:
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
root, action = Path(sys.argv[1]), sys.argv[2]
try:
    storage = StorageService(root)
    storage.get("a/b") if action == "get" else storage.put("a/c", b"1")
except StorageError as error:
    print(error.code, error.message, error.hint, sep="\\n")
else:
    print("done", oct((root / "a/c").stat().st_mode & 0o777), oct(root.stat().st_mode & 0o777))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user may look into."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_another_user(root: Path, action: str) -> list[str]:
    command = [sys.executable, "-c", AS_ANOTHER_USER, str(root), action]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@needs_root
@pytest.mark.parametrize("action", ["get", "put"])
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_a_folder_of_another_user_is_refused_with_both_users_named(
    open_folder: Path, action: str, mode: int
) -> None:
    StorageService(open_folder / "files").put("a/b", b"1")
    (open_folder / "files").chmod(mode)
    code, message, hint = as_another_user(open_folder / "files", action)
    assert code == "not-permitted"
    assert "belongs to user 0 (mode 700)" in message and f"runs as user {NOBODY}" in message
    assert f"chown -R {NOBODY}" in hint


@needs_root
def test_a_data_folder_that_cannot_be_made_is_refused(open_folder: Path) -> None:
    code, message, _ = as_another_user(open_folder / "new/files", "put")
    assert code == "not-permitted" and f"'{open_folder}' belongs to user 0 (mode 755)" in message


@needs_root
def test_a_user_without_privileges_may_use_a_folder_of_his_own(open_folder: Path) -> None:
    os.chown(open_folder, NOBODY, NOBODY)
    assert as_another_user(open_folder / "files", "put") == ["done 0o600 0o700"]
