"""Download the icon packages and render them to one array of RGBA pictures.

Sources (npm, as published by Iconify): `fluent-emoji` and `fluent-emoji-flat` (Microsoft, MIT), `noto`
(Google, Apache-2.0). `twemoji` (CC-BY-4.0) is rendered for evaluation only: `TRAINED_SETS` decides what
weights ever see. An Iconify package is one `icons.json`: {"icons": {name: {"body": "<path .../>"}},
"width", "height"}.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from recipes.nano.things import shown_things
from recipes.nano.workplace import Workplace, stable_hash

PACKAGES = {
    "fluent-emoji": "1.2.7",
    "fluent-emoji-flat": "1.2.6",
    "noto": "1.2.9",
    "twemoji": "1.2.5",
}
TRAINED_SETS = {"3d": "fluent-emoji", "flat": "fluent-emoji-flat", "cartoon": "noto"}
HELD_OUT_SET = "twemoji"
SIDE = 128
"""Pixels of a rendered icon."""
_LEAST_SHARE = 0.06
"""Of the icons that nano does not know, in a partial run: enough to hold some out."""


@dataclass(frozen=True)
class IconSet:
    """Rendered icons of one or more packages.

    Args:
        names: icon names, in the order of the pictures' first axis.
        pictures: (name, package, SIDE, SIDE, 4) uint8, straight alpha.
    """

    names: list[str]
    pictures: NDArray[np.uint8]

    def index(self, name: str) -> int:
        """Row of a name; raises ValueError if it is not there."""
        return self.names.index(name)


def load_icons(work: Workplace, held_out: bool = False) -> IconSet:
    """The rendered icons which `render` left in the work folder, memory-mapped."""
    stem = "held-out" if held_out else "icons"
    names = json.loads(work.path(f"{stem}.json").read_text())
    return IconSet(names, np.load(work.path(f"{stem}.npy"), mmap_mode="r"))


def render(work: Workplace) -> None:
    """Render every icon that all trained sets share, and the same names of the held-out set."""
    if work.path("held-out.npy").exists():
        return
    sources = {package: _read_package(work, package) for package in PACKAGES}
    shared = set.intersection(*(set(sources[package]["icons"]) for package in TRAINED_SETS.values()))
    names = sorted(name for name in shared if _is_plain(name) and _is_wanted(name, work.fraction))
    _save(work, "icons", names, [sources[package] for package in TRAINED_SETS.values()])
    _save(
        work, "held-out", [n for n in names if n in sources[HELD_OUT_SET]["icons"]], [sources[HELD_OUT_SET]]
    )
    work.log("icons", names=len(names), sets=len(TRAINED_SETS))


def _is_plain(name: str) -> bool:
    """Whether the icon is not one of the many skin tone variants of another."""
    return not any(part in name for part in ("skin-tone", "-light", "-medium", "-dark"))


def _is_wanted(name: str, fraction: float) -> bool:
    """Whether a run of that fraction renders the icon: what nano is shown, and a share of the rest."""
    if any(thing.icon == name for thing in shown_things(fraction)):
        return True
    return stable_hash(name) % 1000 < 1000 * max(fraction, _LEAST_SHARE)


def _read_package(work: Workplace, package: str) -> dict[str, Any]:
    """icons.json of a package, fetched with the npm client unless it is there already."""
    folder = work.path("npm", package)
    if not folder.exists():
        archive = _npm_pack(folder.parent, f"@iconify-json/{package}@{PACKAGES[package]}")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    data: dict[str, Any] = json.loads((folder / "package" / "icons.json").read_text())
    return data


def _npm_pack(folder: Path, name: str) -> Path:
    """Download one package as a .tgz file."""
    done = subprocess.run(
        ["npm", "pack", "--silent", name], cwd=folder, check=True, capture_output=True, text=True, timeout=300
    )
    return folder / done.stdout.strip().splitlines()[-1]


def _save(work: Workplace, stem: str, names: list[str], sources: list[dict[str, Any]]) -> None:
    pictures = np.zeros((len(names), len(sources), SIDE, SIDE, 4), np.uint8)
    for row, name in enumerate(names):
        for column, source in enumerate(sources):
            pictures[row, column] = _render_one(source, name)
    np.save(work.path(f"{stem}.npy"), pictures)
    work.path(f"{stem}.json").write_text(json.dumps(names))


def _render_one(source: dict[str, Any], name: str) -> NDArray[np.uint8]:
    """One icon as (SIDE, SIDE, 4)."""
    icon = source["icons"][name]
    width, height = icon.get("width", source["width"]), icon.get("height", source["height"])
    left, top = icon.get("left", 0), icon.get("top", 0)
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{SIDE}" height="{SIDE}">{icon["body"]}</svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, height=SIDE)
    with Image.open(io.BytesIO(bytes(png))) as image:
        return np.asarray(image.convert("RGBA"))
