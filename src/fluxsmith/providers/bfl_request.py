"""What is asked of BFL for one picture: which endpoint, and the body of the request.

Limits are those of the contract's bodies, so that what the host would refuse is refused before it is sent.
Nothing here sends anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fluxsmith.contract.endpoints import Endpoint
from fluxsmith.core.validation import ValidationService
from fluxsmith.errors import UnsupportedError, ValidationError
from fluxsmith.providers.base import GenerationTask, Reporter
from fluxsmith.providers.bfl_catalogue import Offer, capabilities_of
from fluxsmith.providers.bfl_pictures import SentPicture, expands, picture_fields, uses_of

UPLOAD_S = 300.0  # of a request with pictures: some megabytes on a slow line


@dataclass(frozen=True)
class DrawingRequest:
    """One task's requests: they differ in their seeds only.

    Args:
        values: all fields but the seed and the pictures.
        pictures: fields that hold a picture.
    """

    endpoint: Endpoint
    values: Mapping[str, Any]
    seed: int
    pictures: Mapping[str, SentPicture]

    @property
    def total_s(self) -> float | None:
        """How long sending it may take; None for the usual."""
        return UPLOAD_S if self.pictures else None

    def body(self, part: int) -> dict[str, Any]:
        """The request for one picture: number `part` of the task. Large where it carries pictures.

        Raises:
            StorageError: a picture cannot be read.
        """
        shown = {field: picture.encoded() for field, picture in self.pictures.items()}
        return {**self.values, "seed": self.seed + part, **shown}


def drawing_request(offer: Offer, task: GenerationTask) -> DrawingRequest:
    """What to ask for; the pictures that it carries are checked, and read later.

    Raises:
        UnsupportedError: the model does not draw with a finetune, or only with one; it does not take these
            pictures together; steps or guidance are outside what it takes.
        ValidationError: a picture is too large.
    """
    endpoint = _endpoint(offer, task)
    pictures = picture_fields(endpoint, task.followed, offer.title)
    for picture in pictures.values():
        picture.check()
    values = {
        field: value for field, value in _wishes(offer, task).items() if field in endpoint.body.model_fields
    }
    _check(offer, endpoint, {**values, **dict.fromkeys(pictures, "")})
    return DrawingRequest(endpoint, values, task.seed, pictures)


def tell_what_is_left_out(
    offer: Offer, request: DrawingRequest, task: GenerationTask, report: Reporter
) -> None:
    """Say which wishes the endpoint has no field for."""
    faded = bool(task.followed.image_prompts) and task.followed.image_prompt_strength != 1
    wishes = {
        "steps": task.steps is not None,
        "guidance": task.guidance is not None,
        "image_prompt_strength": faded,
    }
    for wish, wanted in wishes.items():
        if wanted and wish not in request.endpoint.body.model_fields:
            report.message(f"{offer.title} takes no {wish.replace('_', ' ')}; it was left out.")


def _endpoint(offer: Offer, task: GenerationTask) -> Endpoint:
    """Where to send a request."""
    ways = offer.alone if task.remote_lora is None else offer.finetuned
    if not ways and task.remote_lora is None:
        raise UnsupportedError(
            "finetune-needed",
            f"'{offer.name}' draws only with a finetune.",
            hint="Choose a finetune of it: `fluxsmith models link` names one that BFL keeps.",
            field="model",
        )
    if not ways:
        raise UnsupportedError(
            "finetune-unsupported",
            f"'{offer.name}' does not draw with finetunes.",
            hint="FLUX.2 [klein] does; link the finetune to the base that it was trained on.",
            field="model",
        )
    uses, fill = uses_of(task.followed), task.followed.fill
    able = [way for way in ways if uses <= capabilities_of(way)]
    if not able:
        raise UnsupportedError(
            "pictures-unsupported",
            f"{offer.title} does not draw from this at once: {', '.join(sorted(uses))}.",
            hint="Send a picture in one use that it can follow.",
            field="pictures",
        )
    wider = fill is not None and fill.margins is not None
    return min(able, key=lambda way: expands(way) != wider)


def _wishes(offer: Offer, task: GenerationTask) -> dict[str, Any]:
    """All that is wished for, by the names of BFL's fields; an endpoint has some of them."""
    followed = task.followed
    wishes: dict[str, Any] = {"prompt": task.prompt, "output_format": "png"}
    if offer.sides is not None:
        wishes["width"], wishes["height"] = offer.sides.fit(task.width, task.height)
    wishes["aspect_ratio"] = _aspect(task.width, task.height)
    if task.steps is not None:
        wishes["steps"] = task.steps
    if task.guidance is not None:
        wishes["guidance"] = task.guidance
    if task.remote_lora is not None:
        wishes |= {"finetune_id": task.remote_lora.id, "finetune_strength": task.remote_lora.strength}
    if followed.image_prompts:
        wishes["image_prompt_strength"] = followed.image_prompt_strength
    if followed.control is not None:
        wishes |= {
            "canny_low_threshold": followed.control.low,
            "canny_high_threshold": followed.control.high,
        }
    if followed.fill is not None and followed.fill.margins is not None:
        wishes |= asdict(followed.fill.margins)
    return wishes


def _check(offer: Offer, endpoint: Endpoint, values: Mapping[str, Any]) -> None:
    try:
        ValidationService().parse(endpoint.body, values)
    except ValidationError as error:
        field = error.field or "input"
        raise UnsupportedError(
            f"{field.replace('_', '-')}-unsupported",
            f"{offer.title} does not take this: {error.message}",
            hint=f"Leave {field} empty for the model's own.",
            field=field,
        ) from error


def _aspect(width: int, height: int) -> str:
    """The ratio in small whole numbers, between 21:9 and 9:21 as BFL takes it."""
    ratio = min(max(width / height, 9 / 21), 21 / 9)
    pairs = [
        (wide, high) for wide in range(1, 22) for high in range(1, 22) if 9 / 21 <= wide / high <= 21 / 9
    ]
    wide, high = min(pairs, key=lambda pair: (abs(pair[0] / pair[1] - ratio), pair[0]))
    return f"{wide}:{high}"
