"""Result files behind signed links: a plain GET, no key, until the link expires.

The file in storage is a PNG; a JPEG is made of it when it is fetched, which takes milliseconds.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from PIL import Image

from fluxsmith.contract.answers import ErrorResponse
from fluxsmith.core.storage_errors import storage_error
from fluxsmith.web.context import CurrentActor, Links, Services

JPEG_QUALITY = 95

router = APIRouter(tags=["Files"])


@router.head("/files/{token}/{name}", include_in_schema=False)
@router.get(
    "/files/{token}/{name}",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}, "image/png": {}}, "description": "The picture."},
        403: {"model": ErrorResponse, "description": "The link has expired or is not ours."},
        404: {"model": ErrorResponse, "description": "The picture was deleted."},
        422: {"model": ErrorResponse, "description": "The link is not text."},
    },
    summary="A result file, by its signed link",
    operation_id="result_file",
)
def result_file(token: str, name: str, services: Services, actor: CurrentActor, links: Links) -> Response:
    """The picture that the link names; what it is called in the address does not matter."""
    file = links.read(token)
    path = services.inference.output(actor, file.generation_id, file.index)
    headers = {"cache-control": "private, max-age=60", "x-content-type-options": "nosniff"}
    if file.output_format == "png":
        return FileResponse(path, media_type="image/png", headers=headers)
    return Response(as_jpeg(path), media_type="image/jpeg", headers=headers)


def as_jpeg(path: Path) -> bytes:
    """A picture as JPEG, with all its colour detail.

    Raises:
        StorageError: the file cannot be read.
    """
    target = BytesIO()
    try:
        with Image.open(path) as image:
            image.convert("RGB").save(target, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    except OSError as error:
        raise storage_error(error, path) from error
    return target.getvalue()
