"""Names of uploaded files, and the captions that are matched to pictures by them.

Shared by zips and by loose uploads, so that both say the same. What a caption may hold is the dataset's to
say; how it becomes a training prompt is finetuning's.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import PurePosixPath

from fluxsmith.errors import ValidationError

MAX_NAME_CHARS = 255  # what the database's column holds
_JUNK = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def is_usable_name(name: str) -> bool:
    """Whether a file's name can be kept: not empty, not overlong, no control characters."""
    legible = all(unicodedata.category(character) not in ("Cc", "Cs") for character in name)
    return legible and 0 < len(name) <= MAX_NAME_CHARS and PurePosixPath(name).name != ""


def is_junk(name: str) -> bool:
    """Whether it is one of the files that file managers add by themselves."""
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] in _JUNK


def shown_name(name: str) -> str:
    """A doubtful name, quoted and short, safe to print."""
    return ascii(name if len(name) <= 80 else f"{name[:79]}…")


def read_caption(data: bytes, filename: str) -> str | None:
    """The text of a caption file, None if it is blank.

    Raises:
        ValidationError: `caption-not-utf8`.
    """
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ValidationError(
            "caption-not-utf8",
            f"The caption file '{filename}' is not UTF-8 text (byte {error.start + 1} is the first bad one).",
            hint="Save it as UTF-8.",
            field="pictures",
        ) from error
    return text or None


def match_captions(pictures: list[str], captions: dict[str, str | None]) -> dict[str, str]:
    """The caption of each picture: the one of the same stem in its folder, or of that stem anywhere.

    Args:
        pictures: names of the pictures, with folders.
        captions: texts by the names of their files, with folders.

    Raises:
        ValidationError: `caption-without-picture`.
    """
    by_path: dict[str, list[str]] = {}
    by_stem: dict[str, list[str]] = {}
    for name in pictures:
        by_path.setdefault(_path_stem(name), []).append(name)
        by_stem.setdefault(PurePosixPath(name).stem.casefold(), []).append(name)
    matched: dict[str, str] = {}
    for name, text in captions.items():
        owners = by_path.get(_path_stem(name)) or by_stem.get(PurePosixPath(name).stem.casefold())
        if not owners:
            raise ValidationError(
                "caption-without-picture",
                f"The caption file '{name}' has no picture of the same name.",
                hint=f"Add the picture '{PurePosixPath(name).stem}', or remove the caption file.",
                field="pictures",
            )
        matched.update({owner: text for owner in owners if text is not None})
    return matched


def check_unique_names(names: list[str]) -> None:
    """Refuse two files of one name: a caption could not tell them apart.

    Raises:
        ValidationError: `duplicate-names`.
    """
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise ValidationError(
            "duplicate-names",
            f"{times} files are called '{name}'.",
            hint="Give each file a name of its own.",
            field="pictures",
        )


def _path_stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")).casefold()
