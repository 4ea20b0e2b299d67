"""The recipe of nano, from icon packages to measured weights, with a hundredth of the work."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resvg_py")

from recipes.nano.assemble import PARTS, SHIPPED
from recipes.nano.pictures import load_pipeline, make_pictures

ROOT = Path(__file__).parent.parent.parent


def hashes(folder: Path) -> dict[str, str]:
    """By path, of all files in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.skipif(shutil.which("npm") is None, reason="the recipe downloads its icons with npm")
def test_a_small_run_makes_weights_that_draw_and_measures_them_truthfully(tmp_path: Path) -> None:
    shipped = hashes(SHIPPED)
    command = [sys.executable, "-m", "recipes.nano", "--fraction", "0.004", "--work", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-4000:]
    made = tmp_path / "shipped"
    for part in PARTS:
        assert (made / part).exists()
    assert make_pictures(load_pipeline(made), ["a cat"]).shape == (1, 3, 128, 128)
    assert (made / "sheet.png").stat().st_size > 0
    rows = {row["claim"]: row for row in json.loads((tmp_path / "nano.json").read_text())["rows"]}
    assert rows["things it knows, in three styles"]["ours"] == 8
    assert not rows["things it knows, in three styles"]["holds"]
    assert rows["size of everything shipped"]["holds"]
    assert hashes(SHIPPED) == shipped, "a partial run never touches what is shipped"

    again = subprocess.run([*command, "transformer"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0
    assert again.stdout == "", "a stage that is done is skipped"


def test_make_hands_the_fraction_on() -> None:
    done = subprocess.run(
        ["make", "-n", "nano", "NANO_FRACTION=0.02", "NANO_WORK=elsewhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "recipes.nano --fraction 0.02 --work elsewhere" in done.stdout
