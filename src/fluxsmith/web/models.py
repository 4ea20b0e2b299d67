"""Models on our own API: listed, imported from a file, linked, downloaded and deleted.

An import is BFL's upload of a LoRA on its dashboard: the name that it is given is the `finetune_id` to draw
with.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import FileResponse

from fluxsmith.contract.answers import ErrorResponse
from fluxsmith.core.validation import ValidationService
from fluxsmith.services.models import ImportRequest, LinkRequest, Model, PublishGuide
from fluxsmith.web.context import CurrentActor, Services

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse} for status in (400, 403, 404, 409, 413, 422, 507)
}
_NAME = ImportRequest.model_fields["name"].description
_BASE = ImportRequest.model_fields["base_model"].description
_WORD = ImportRequest.model_fields["trigger_word"].description

router = APIRouter(prefix="/api/models", tags=["Models"], responses=_ERRORS)


@router.get("", summary="All models")
def list_models(services: Services, actor: CurrentActor) -> list[Model]:
    """Base models first, then LoRAs, newest first."""
    return services.models.list(actor)


@router.post("", summary="Import a LoRA")
def import_model(
    name: Annotated[str, Form(description=_NAME)],
    base_model: Annotated[str, Form(description=_BASE)],
    file: Annotated[UploadFile, File(description="The LoRA as .safetensors: diffusers, BFL or kohya keys.")],
    services: Services,
    actor: CurrentActor,
    trigger_word: Annotated[str, Form(description=_WORD)] = "",
) -> Model:
    """Check a LoRA's file and keep it, to draw with it by its name as `finetune_id`."""
    fields = {"name": name, "base_model": base_model, "trigger_word": trigger_word}
    return services.models.add(actor, ValidationService().parse(ImportRequest, fields), file.file)


@router.post("/link", summary="Link a LoRA that a provider keeps")
def link_model(body: LinkRequest, services: Services, actor: CurrentActor) -> Model:
    """Draw here with a LoRA that was uploaded elsewhere, such as on BFL's dashboard."""
    return services.models.link(actor, body)


@router.get("/{model_id}", summary="One model")
def get_model(model_id: str, services: Services, actor: CurrentActor) -> Model:
    """By its id, or by its name if no other has it."""
    return services.models.get(actor, model_id)


@router.delete("/{model_id}", summary="Delete a LoRA")
def delete_model(model_id: str, services: Services, actor: CurrentActor) -> Model:
    """Hide it; pictures that were drawn with it stay."""
    return services.models.delete(actor, model_id)


@router.get("/{model_id}/publish", summary="How to draw with a LoRA at BFL")
def publish_guide(model_id: str, services: Services, actor: CurrentActor) -> PublishGuide:
    """The steps from this server's file to an id in BFL's cloud; BFL has no API for them."""
    return services.models.publish_guide(actor, model_id)


@router.get("/{model_id}/file", summary="A LoRA's file", response_class=FileResponse)
def model_file(model_id: str, services: Services, actor: CurrentActor) -> FileResponse:
    """The safetensors file, to use elsewhere."""
    path = services.models.file(actor, model_id)
    return FileResponse(path, media_type="application/octet-stream", filename=f"{model_id}.safetensors")
