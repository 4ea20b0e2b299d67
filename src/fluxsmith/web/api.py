"""Our own API: what BFL's contract lacks. Datasets, finetunes, generations and jobs; models are in `models`.

Each route calls one service method; the objects that go in and out are the services' own.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Header, Query, UploadFile
from fastapi.responses import FileResponse, Response, StreamingResponse

from fluxsmith.contract.answers import ErrorResponse
from fluxsmith.core.jobs import Job
from fluxsmith.core.verdict import Verdict
from fluxsmith.errors import NotFoundError
from fluxsmith.services.datasets import Dataset, Upload
from fluxsmith.services.finetuning import Finetune, FinetuneRequest, Quote
from fluxsmith.services.inference import Generation, GenerationRequest
from fluxsmith.web.context import CurrentActor, Services
from fluxsmith.web.events import stream

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse} for status in (400, 403, 404, 409, 413, 422, 429)
}

LAST_EVENT = 10**15  # more than there will ever be, and still a number to every database

router = APIRouter(prefix="/api", responses=_ERRORS)


def own_job(job_id: str, services: Services, actor: CurrentActor) -> Job:
    """The job of that id, if it is the actor's."""
    job = services.jobs.get(job_id)
    if job.owner_id != actor.id:
        raise NotFoundError("job-not-found", f"There is no job '{job_id}'.")
    return job


OwnJob = Annotated[Job, Depends(own_job)]


@router.get("/datasets", tags=["Datasets"], summary="All datasets")
def list_datasets(services: Services, actor: CurrentActor) -> list[Dataset]:
    """Newest first."""
    return services.datasets.list(actor)


@router.post("/datasets", tags=["Datasets"], summary="Import a dataset")
def create_dataset(
    name: Annotated[str, Form()],
    files: Annotated[list[UploadFile], File(description="Pictures, captions as .txt, or one zip.")],
    services: Services,
    actor: CurrentActor,
) -> Dataset:
    """Import pictures with their captions: all of them, or nothing."""
    uploads = [Upload(file.filename or "", file.file.read()) for file in files]
    return services.datasets.create(actor, name, uploads)


@router.get("/datasets/{dataset_id}", tags=["Datasets"], summary="One dataset")
def get_dataset(dataset_id: str, services: Services, actor: CurrentActor) -> Dataset:
    """With all its pictures and captions."""
    return services.datasets.get(actor, dataset_id)


@router.get("/datasets/{dataset_id}/verdicts", tags=["Datasets"], summary="What would harm a LoRA")
def dataset_verdicts(
    dataset_id: str,
    services: Services,
    actor: CurrentActor,
    base_model: Annotated[
        str | None, Query(description="Model to be trained; empty for the default.")
    ] = None,
) -> list[Verdict]:
    """Advice on the pictures and captions of a set, for a base model; nothing is refused for it."""
    base = base_model or services.settings.model
    return list(services.finetuning.check_pictures(actor, dataset_id, base))


@router.delete("/datasets/{dataset_id}", tags=["Datasets"], summary="Delete a dataset")
def delete_dataset(dataset_id: str, services: Services, actor: CurrentActor) -> Dataset:
    """Hide it; finetunes that were made of it keep working."""
    return services.datasets.delete(actor, dataset_id)


@router.delete("/datasets/{dataset_id}/images/{image_id}", tags=["Datasets"], summary="Leave a picture out")
def leave_out(dataset_id: str, image_id: str, services: Services, actor: CurrentActor) -> Dataset:
    """Later finetunes are made without it; it can be brought back."""
    return services.datasets.leave_out(actor, dataset_id, image_id)


@router.post(
    "/datasets/{dataset_id}/images/{image_id}/restore", tags=["Datasets"], summary="Bring a picture back"
)
def bring_back(dataset_id: str, image_id: str, services: Services, actor: CurrentActor) -> Dataset:
    """Undo leaving it out."""
    return services.datasets.bring_back(actor, dataset_id, image_id)


@router.get(
    "/datasets/{dataset_id}/images/{image_id}/thumbnail",
    tags=["Datasets"],
    summary="A small picture",
    response_class=Response,
)
def thumbnail(dataset_id: str, image_id: str, services: Services, actor: CurrentActor) -> Response:
    """A WebP of one training picture."""
    return Response(services.datasets.thumbnail(actor, dataset_id, image_id), media_type="image/webp")


@router.get("/finetunes", tags=["Finetunes"], summary="All finetunes")
def list_finetunes(services: Services, actor: CurrentActor) -> list[Finetune]:
    """Newest first."""
    return services.finetuning.list(actor)


@router.post("/finetunes", tags=["Finetunes"], summary="Start a finetune")
def start_finetune(body: FinetuneRequest, services: Services, actor: CurrentActor) -> Finetune:
    """Train on a dataset as it is now."""
    return services.finetuning.start(actor, body)


@router.get("/finetunes/quote", tags=["Finetunes"], summary="What a finetune would cost")
def quote_finetune(
    base_model: Annotated[str, Query(max_length=200)],
    steps: Annotated[int, Query(ge=1, le=20_000)],
    services: Services,
    actor: CurrentActor,
) -> Quote:
    """Nothing is started; send the cost as `accepted_cost_usd` to start it."""
    return services.finetuning.quote(base_model, steps)


@router.get("/finetunes/{finetune_id}", tags=["Finetunes"], summary="One finetune")
def get_finetune(finetune_id: str, services: Services, actor: CurrentActor) -> Finetune:
    """With its parameters and its job."""
    return services.finetuning.get(actor, finetune_id)


@router.delete("/finetunes/{finetune_id}", tags=["Finetunes"], summary="Delete a finetune")
def delete_finetune(finetune_id: str, services: Services, actor: CurrentActor) -> Finetune:
    """Stop it if it runs, and hide it and its model."""
    return services.finetuning.delete(actor, finetune_id)


@router.get("/generations", tags=["Generations"], summary="All generations")
def list_generations(
    services: Services, actor: CurrentActor, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[Generation]:
    """Newest first."""
    return services.inference.list(actor, limit)


@router.post("/generations", tags=["Generations"], summary="Draw pictures")
def generate(body: GenerationRequest, services: Services, actor: CurrentActor) -> Generation:
    """Answers at once; the job's events tell how it fares."""
    return services.inference.generate(actor, body)


@router.get("/generations/{generation_id}", tags=["Generations"], summary="One generation")
def get_generation(generation_id: str, services: Services, actor: CurrentActor) -> Generation:
    """With its pictures, when it is done."""
    return services.inference.get(actor, generation_id)


@router.get(
    "/generations/{generation_id}/pictures/{index}",
    tags=["Generations"],
    summary="A drawn picture",
    response_class=FileResponse,
)
def drawn_picture(generation_id: str, index: int, services: Services, actor: CurrentActor) -> FileResponse:
    """The PNG of one picture."""
    path = services.inference.output(actor, generation_id, index)
    return FileResponse(path, media_type="image/png", headers={"x-content-type-options": "nosniff"})


@router.get(
    "/generations/{generation_id}/followed/{index}",
    tags=["Generations"],
    summary="A picture that was followed",
    response_class=FileResponse,
)
def followed_picture(generation_id: str, index: int, services: Services, actor: CurrentActor) -> FileResponse:
    """The PNG of one of the pictures that a generation follows, as it was kept."""
    path = services.inference.followed(actor, generation_id, index)
    return FileResponse(path, media_type="image/png", headers={"x-content-type-options": "nosniff"})


@router.get("/jobs/{job_id}", tags=["Jobs"], summary="One job")
def get_job(job: OwnJob) -> Job:
    """As it stands now."""
    return job


@router.post("/jobs/{job_id}/cancel", tags=["Jobs"], summary="Cancel a job")
def cancel_job(job: OwnJob, services: Services) -> Job:
    """One that waits ends at once, one that runs is asked to stop, one that has ended stays."""
    return services.jobs.request_cancel(job.id)


@router.get(
    "/jobs/{job_id}/events",
    tags=["Jobs"],
    summary="Follow a job",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
def follow_job(
    job: OwnJob,
    services: Services,
    after: Annotated[int, Query(ge=0, le=LAST_EVENT)] = 0,
    last_event_id: Annotated[str, Header(max_length=15)] = "",
) -> StreamingResponse:
    """Every event after a number, old ones at once and new ones as they happen, until the job ends."""
    seen = int(last_event_id) if last_event_id.isdecimal() else after
    return StreamingResponse(
        stream(services.jobs, job.id, seen),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )
