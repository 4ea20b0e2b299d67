"""Two servers on one data folder: the second is refused in words, the first never notices."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fluxsmith.config.env import EnvManager
from fluxsmith.errors import ConflictError
from fluxsmith.worker.folder_locks import lock_for_server
from tests.harness import COMMAND, free_port


def test_a_second_server_on_a_data_folder_ends_with_the_reason(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    lock = lock_for_server(data_dir)
    variables = {"FLUXSMITH_DATA_DIR": str(data_dir), "FLUXSMITH_PORT": str(free_port())}

    second = subprocess.run(
        COMMAND, cwd=tmp_path, env=EnvManager().for_child(variables), capture_output=True, text=True
    )

    assert second.returncode == ConflictError.exit_code
    said = " ".join((second.stdout + second.stderr).split())
    assert "Another fluxsmith server is using the data folder" in said
    assert "FLUXSMITH_DATA_DIR" in said
    assert not (data_dir / "fluxsmith.db").exists()
    lock.release()
