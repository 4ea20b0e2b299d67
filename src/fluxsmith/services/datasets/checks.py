"""What in a set of pictures harms the LoRA that is trained on it, in words, with a way to mend it.

Nothing is refused for it: a verdict is advice. Each has a measure (`core.picture_measures`) and a threshold
that is a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fluxsmith.config.settings import Settings
from fluxsmith.core.picture_measures import PictureMeasures, differing_share
from fluxsmith.core.verdict import Verdict
from fluxsmith.services.datasets.schema import DatasetImage

_SAME_COLOUR = 14.0  # of 255, in each channel
_FEW_TO_COMPARE = 5  # a smaller set says nothing about what its pictures have in common


@dataclass(frozen=True)
class Seen:
    """A picture of the set and what was measured of it."""

    image: DatasetImage
    measures: PictureMeasures


def judge(seen: Sequence[Seen], side: int, settings: Settings) -> list[Verdict]:
    """All verdicts on a set.

    Args:
        seen: its pictures.
        side: of the square pictures that the model is trained at, in pixels.
        settings: the thresholds.
    """
    return [
        *_count(len(seen), settings),
        *_pictures(seen, side, settings),
        *_duplicates(seen, settings),
        *_backgrounds(seen),
        *_captions(seen),
    ]


def _count(count: int, settings: Settings) -> list[Verdict]:
    if count < settings.check_min_pictures:
        return [
            Verdict(
                code="too-few-pictures",
                message=f"{_pictures_of(count)} in the set; a LoRA learns well from "
                f"{settings.check_min_pictures} or more.",
                hint="Add pictures of the same thing from other sides, in other light, in other places.",
            )
        ]
    if count > settings.check_max_pictures:
        return [
            Verdict(
                code="too-many-pictures",
                message=f"{_pictures_of(count)} in the set; more than {settings.check_max_pictures} seldom "
                "help and each is seen less often.",
                hint="Keep the best, or raise the number of steps.",
            )
        ]
    return []


def _pictures(seen: Sequence[Seen], side: int, settings: Settings) -> list[Verdict]:
    least = settings.check_min_scale
    checks: tuple[tuple[str, Callable[[PictureMeasures], bool], str, str, str], ...] = (
        (
            "too-small",
            lambda one: min(one.width, one.height) < side * least,
            f"smaller than the {side} × {side} pixels that are trained at",
            "Choose larger originals: enlarged pictures teach blur.",
            "is",
        ),
        (
            "blurred",
            lambda one: one.sharpness < settings.check_min_sharpness,
            "blurred",
            "Choose sharper pictures, or leave these out.",
            "is",
        ),
        (
            "too-dark",
            lambda one: one.brightest < settings.check_min_bright,
            "very dark",
            "Brighten these, or leave them out.",
            "is",
        ),
        (
            "washed-out",
            lambda one: one.darkest > settings.check_max_dark and one.border is None,
            "washed out: nothing in them is dark",
            "Raise their contrast, or leave them out.",
            "is",
        ),
        (
            "compressed",
            lambda one: one.blockiness > settings.check_max_blockiness,
            "heavily compressed: the blocks of JPEG are seen",
            "Use the original files instead of copies from a chat or a web page.",
            "is",
        ),
        (
            "letterboxed",
            lambda one: one.bars > settings.check_max_bars,
            "black bars at both ends",
            "Cut the bars off, or the LoRA draws them.",
            "has",
        ),
        (
            "cut-off",
            lambda one: 1 - min(one.width, one.height) / max(one.width, one.height) > settings.check_max_cut,
            f"far from square, so that over {settings.check_max_cut:.0%} of the longer side is cut off in "
            "training",
            "Crop these to what matters.",
            "is",
        ),
    )
    verdicts = []
    for code, fails, what, hint, verb in checks:
        ids = [one.image.id for one in seen if fails(one.measures)]
        if ids:
            verb = {"is": "are", "has": "have"}[verb] if len(ids) > 1 else verb
            message = f"{_pictures_of(len(ids))} {verb} {what}."
            verdicts.append(Verdict(code=code, message=message, hint=hint, image_ids=tuple(ids)))
    return verdicts


def _duplicates(seen: Sequence[Seen], settings: Settings) -> list[Verdict]:
    """One verdict for each group of pictures that are nearly the same."""
    groups: list[list[Seen]] = []
    for one in seen:
        mark = one.measures.fingerprint
        near = [
            group
            for group in groups
            if any(
                differing_share(mark, other.measures.fingerprint) <= settings.check_same_share
                for other in group
            )
        ]
        groups = [group for group in groups if group not in near]
        groups.append([*(other for group in near for other in group), one])
    return [
        Verdict(
            code="near-duplicates",
            message=f"{_pictures_of(len(group))} look nearly the same: "
            + ", ".join(f"'{one.image.filename}'" for one in group[:4])
            + ("…" if len(group) > 4 else "")
            + ".",
            hint="Keep one of them: what is shown more often is learned by heart.",
            image_ids=tuple(one.image.id for one in group),
        )
        for group in groups
        if len(group) > 1
    ]


def _backgrounds(seen: Sequence[Seen]) -> list[Verdict]:
    colours = [one.measures.border for one in seen]
    known = [colour for colour in colours if colour is not None]
    if len(seen) < _FEW_TO_COMPARE or len(known) < len(seen):
        return []
    if max(max(channel) - min(channel) for channel in zip(*known, strict=True)) > _SAME_COLOUR:
        return []
    return [
        Verdict(
            code="one-background",
            message="All pictures have the same plain background.",
            hint="Say so in the captions, or add pictures with others, or the LoRA learns it with the thing.",
        )
    ]


def _captions(seen: Sequence[Seen]) -> list[Verdict]:
    own = [one for one in seen if one.image.caption]
    verdicts = []
    if own and len(own) < len(seen):
        without = tuple(one.image.id for one in seen if not one.image.caption)
        verdicts.append(
            Verdict(
                code="captions-missing",
                message=f"{_pictures_of(len(without))} of {len(seen)} without a caption, while others "
                "have one.",
                hint="Write one for each, or for none.",
                image_ids=without,
            )
        )
    if len(own) >= _FEW_TO_COMPARE and len({one.image.caption for one in own}) == 1:
        verdicts.append(
            Verdict(
                code="captions-identical",
                message="All captions are the same.",
                hint="Say in each what differs: what a caption names stays out of the trigger word.",
            )
        )
    return verdicts


def _pictures_of(count: int) -> str:
    return f"{count} {'picture' if count == 1 else 'pictures'}"
