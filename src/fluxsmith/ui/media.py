"""Where the pages' pictures come from: thumbnails, live samples and results, by id.

Each route calls one service method as the page's visitor; files are never served by path. What an
address names never changes, so browsers may keep it.
"""

from __future__ import annotations

from io import BytesIO
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from PIL import Image

from fluxsmith.services.finetuning.reporter import samples_prefix
from fluxsmith.ui.base import BaseUI

_KEEP = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
JPEG_QUALITY = 92


def thumbnail_url(dataset_id: str, image_id: str) -> str:
    """The address of a training picture's thumbnail."""
    return f"/pictures/datasets/{dataset_id}/{image_id}"


def sample_url(finetune_id: str, storage_key: str) -> str:
    """The address of a live sample, from the key that its event names."""
    return f"/pictures/finetunes/{finetune_id}/{storage_key.rsplit('/', 1)[-1]}"


def output_url(generation_id: str, index: int) -> str:
    """The address of a drawn picture."""
    return f"/pictures/generations/{generation_id}/{index}.png"


def download_url(generation_id: str, index: int, output_format: str) -> str:
    """The address under which a drawn picture is downloaded, in the format asked for."""
    return f"/pictures/generations/{generation_id}/{index}.{output_format}?download=1"


def pictures_router(page: BaseUI) -> APIRouter:
    """The routes, for whoever `page` says is asking."""
    router = APIRouter(prefix="/pictures", include_in_schema=False)

    @router.get("/datasets/{dataset_id}/{image_id}")
    def thumbnail(dataset_id: str, image_id: str) -> Response:
        webp = page.container.datasets.thumbnail(page.actor(), dataset_id, image_id)
        return Response(webp, media_type="image/webp", headers=_KEEP)

    @router.get("/finetunes/{finetune_id}/{name}")
    def sample(finetune_id: str, name: str) -> Response:
        key = f"{samples_prefix(finetune_id)}{name}"
        path = page.container.finetuning.sample_image(page.actor(), finetune_id, key)
        return FileResponse(path, media_type="image/png", headers=_KEEP)

    @router.get("/generations/{generation_id}/{index}.{kind}")
    def output(
        generation_id: str, index: int, kind: Literal["png", "jpeg"], download: bool = False
    ) -> Response:
        path = page.container.inference.output(page.actor(), generation_id, index)
        name = f"fluxsmith-{generation_id[:8]}-{index + 1}.{kind}"
        headers = _KEEP | ({"Content-Disposition": f'attachment; filename="{name}"'} if download else {})
        if kind == "png":
            return FileResponse(path, media_type="image/png", headers=headers)
        jpeg = BytesIO()
        with Image.open(path) as picture:
            picture.convert("RGB").save(jpeg, "JPEG", quality=JPEG_QUALITY)
        return Response(jpeg.getvalue(), media_type="image/jpeg", headers=headers)

    return router
