"""From BFL's bodies to our services' requests, and refusals back into BFL's field names.

What BFL offers and this server lacks is refused in words here, never ignored. Routes are in `v1`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fluxsmith.container import ServiceContainer
from fluxsmith.contract.aspect import size_of
from fluxsmith.contract.base import Notified
from fluxsmith.contract.endpoints import Endpoint
from fluxsmith.contract.inputs import FinetuneInputs
from fluxsmith.core.actor import Actor
from fluxsmith.core.archives import read_base64
from fluxsmith.core.jobs import Companion
from fluxsmith.core.logging import get_logger
from fluxsmith.core.validation import ValidationService
from fluxsmith.errors import FluxsmithError, NotFoundError, UnsupportedError, ValidationError
from fluxsmith.services.datasets import Upload
from fluxsmith.services.finetuning import Finetune, FinetuneRequest
from fluxsmith.services.inference import Generation, GenerationRequest
from fluxsmith.services.inference.schema import MAX_SEED
from fluxsmith.services.models import Model

MOST_PICTURES = 20  # what BFL takes in one zip
AUTOMATIC_SIDE_PX = 1024  # what BFL draws when no size is asked for
DISTILLED_SCALE = 10.0
LOW, HIGH = 50, 200  # BFL's thresholds of canny, where null is sent

_log = get_logger(__name__)

_BFL_NAMES = {
    "name": "finetune_comment",
    "pictures": "file_data",
    "model": "finetune_id",
    "strength": "finetune_strength",
    "parameters.steps": "iterations",
    "parameters.learning_rate": "learning_rate",
    "parameters.lora_rank": "lora_rank",
}


def submit_generation(
    services: ServiceContainer, actor: Actor, endpoint: Endpoint, body: Notified, base: str
) -> Generation:
    """Check a request for a picture and hand it to the service.

    Raises:
        UnsupportedError: it asks for what the model or this server lacks.
        FluxsmithError: whatever the service refuses, in BFL's field names.
    """
    with _in_bfl_names():
        webhook = _webhook(services, actor, body, base)
        request = generation_request(endpoint, body, services.settings.model)
        model = services.models.get(actor, request.model)
        if endpoint.finetuned and model.kind != "lora":
            raise NotFoundError(
                "model-not-found",
                f"There is no finetune '{model.id}'.",
                hint="my_finetunes lists the ids that can be used.",
                field="finetune_id",
            )
        _refuse_lacking(endpoint, body, model, lambda: services.models.list(actor))
        _refuse_empty(endpoint, body)
        generation = services.inference.generate(actor, request, webhook)
    _log.info("Accepted a task.", job_id=generation.id, user=actor.id, endpoint=endpoint.path)
    return generation


def submit_finetune(services: ServiceContainer, actor: Actor, body: FinetuneInputs, base: str) -> Finetune:
    """Import the zip as a dataset and start training on it: both, or neither.

    Raises:
        ValidationError: the zip or a parameter cannot be used.
        FluxsmithError: whatever the services refuse, in BFL's field names.
    """
    with _in_bfl_names():
        webhook = _webhook(services, actor, body, base)
        request = finetune_request(body, services.settings.model)
        upload = Upload("file_data.zip", read_base64(body.file_data))
        dataset = services.datasets.create(actor, request.name, [upload], max_pictures=MOST_PICTURES)
        try:
            asked = request.model_copy(update={"dataset_id": dataset.id})
            started = services.finetuning.start(actor, asked, webhook)
        except BaseException:
            with contextlib.suppress(FluxsmithError):
                services.datasets.delete(actor, dataset.id)
            raise
    _log.info("Accepted a task.", job_id=started.id, user=actor.id, endpoint="/v1/finetune")
    return started


def generation_request(endpoint: Endpoint, body: Notified, base_model: str) -> GenerationRequest:
    """The service's request for a body of any generation endpoint.

    Seeds may be any whole number on the wire; ours have 32 bits, so the rest is cut off. The answer
    tells the seed that was used, and either draws the same picture again.
    """
    given = body.model_dump()
    seed = given.get("seed")
    width, height = _size(endpoint, given)
    pictures = list(_pictures(endpoint, given))
    margins = {side: given.get(side) or 0 for side in ("top", "bottom", "left", "right")}
    values = {
        "model": given.get("finetune_id", base_model),
        "prompt": given.get("prompt") or "",
        "prompt_upsampling": given.get("prompt_upsampling") or False,
        "width": width,
        "height": height,
        "seed": None if seed is None else seed % (MAX_SEED + 1),
        "steps": given.get("steps"),
        "guidance": _guidance(endpoint, given),
        "strength": given.get("finetune_strength", 1.0),
        "output_format": given.get("output_format") or "jpeg",
        "safety_tolerance": given["safety_tolerance"],
        "pictures": pictures,
        "image_prompt_strength": given.get("image_prompt_strength", 1.0),
        "canny_low_threshold": _given(given, "canny_low_threshold", LOW),
        "canny_high_threshold": _given(given, "canny_high_threshold", HIGH),
        "expand": margins if "top" in given and given["image"] else None,
        "size_from_picture": bool(pictures) and not _sized(given),
    }
    return ValidationService().parse(GenerationRequest, values)


def finetune_request(body: FinetuneInputs, base_model: str) -> FinetuneRequest:
    """The service's request for a body of `/v1/finetune`; its dataset does not exist yet."""
    values = {
        "dataset_id": "",
        "name": body.finetune_comment,
        "trigger_word": body.trigger_word,
        "mode": body.mode,
        "captioning": body.captioning,
        "base_model": base_model,
        "parameters": {
            "steps": body.iterations,
            "learning_rate": body.learning_rate,
            "lora_rank": body.lora_rank,
            "finetune_type": body.finetune_type,
            "priority": body.priority,
        },
    }
    return ValidationService().parse(FinetuneRequest, values)


def _pictures(endpoint: Endpoint, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The pictures of a body with their use; empty text is no picture.

    A control that is ready takes the place of the one that it would be made from.
    """
    ready = given.get("preprocessed_image")
    for field, capability in endpoint.picture_fields.items():
        data = given.get(field)
        if not data or (field == "control_image" and ready):
            continue
        role = "mask" if field == "mask" else capability
        yield {"role": role, "data": data, "preprocessed": field == "preprocessed_image"}


def _guidance(endpoint: Endpoint, given: Mapping[str, Any]) -> float | None:
    """The guidance asked for, on the scale of models that are not distilled.

    Endpoints that work on a picture go to 100: BFL's models there learned guidance as an input. Ours weigh
    two predictions, where a tenth does the same.
    """
    value = given.get("guidance")
    return value / DISTILLED_SCALE if value is not None and endpoint.needs else value


def _sized(given: Mapping[str, Any]) -> bool:
    """Whether a body says how large the drawing is to be."""
    return bool(given.get("width") or given.get("height") or given.get("aspect_ratio"))


def _given(given: Mapping[str, Any], field: str, otherwise: int) -> int:
    value = given.get(field)
    return otherwise if value is None else value


@contextmanager
def _in_bfl_names() -> Iterator[None]:
    try:
        yield
    except FluxsmithError as error:
        error.field = _BFL_NAMES.get(error.field or "", error.field)
        raise


def _webhook(services: ServiceContainer, actor: Actor, body: Notified, base: str) -> Companion | None:
    """What writes the webhook that a body asks for, beside its task; None if it asks for none."""
    if body.webhook_url is None:
        return None
    return services.webhooks.registration(actor, str(body.webhook_url), body.webhook_secret or None, base)


def _size(endpoint: Endpoint, given: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height in pixels: by the aspect ratio where the endpoint has one, else as given."""
    if "aspect_ratio" in endpoint.body.model_fields:
        return size_of(given["aspect_ratio"] or "1:1", endpoint.area_px)
    return given.get("width") or AUTOMATIC_SIDE_PX, given.get("height") or AUTOMATIC_SIDE_PX


def _refuse_lacking(
    endpoint: Endpoint, body: Notified, model: Model, models: Callable[[], list[Model]]
) -> None:
    """Refuse fields that ask for a capability that the model lacks, naming models that have it."""
    for field, capability in endpoint.asked_of_model(body):
        if capability in model.capabilities:
            continue
        able = [other.id for other in models() if capability in other.capabilities]
        raise UnsupportedError(
            "capability-missing",
            f"The model '{model.name}' cannot do what {field} asks for ({capability}).",
            hint=_advice(endpoint, field, able),
            field=field,
        )


def _refuse_empty(endpoint: Endpoint, body: Notified) -> None:
    """Refuse a body whose picture is needed and empty; other empty pictures are none."""
    for field in endpoint.needs:
        declared = endpoint.body.model_fields.get(field)
        if declared is not None and declared.is_required() and not getattr(body, field):
            raise ValidationError("picture-missing", f"{field} must hold a picture.", field=field)


def _advice(endpoint: Endpoint, field: str, able: list[str]) -> str:
    if able:
        return f"Models that can: {', '.join(able)}."
    if endpoint.body.model_fields[field].is_required():
        return "No model here can; use an endpoint that draws from words alone."
    return f"No model here can; leave {field} out."
