"""What a poll answers and a webhook tells: a generation's or a finetune's job in BFL's words.

BFL's states are a closed set; a task of somebody else, a deleted and an unknown one look alike.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fluxsmith.container import ServiceContainer
from fluxsmith.contract.answers import (
    FinetuneResult,
    PictureResult,
    ResultResponse,
    StatusResponse,
)
from fluxsmith.core.actor import Actor
from fluxsmith.core.jobs import Job, JobState
from fluxsmith.errors import FluxsmithError, NotFoundError
from fluxsmith.services.finetuning import Finetune
from fluxsmith.services.inference import REQUEST_MODERATED, Generation, upsample
from fluxsmith.services.models import Model
from fluxsmith.tasks.links import ResultFile, ResultLinks

STATUS: dict[JobState, StatusResponse] = {
    "queued": StatusResponse.pending,
    "running": StatusResponse.pending,
    "done": StatusResponse.ready,
    "failed": StatusResponse.error,
    "cancelled": StatusResponse.error,
}
_MODERATED = {REQUEST_MODERATED: StatusResponse.request_moderated}


def polling_url(base: str, task_id: str) -> str:
    """Where a client asks for a task's result."""
    return f"{base}/v1/get_result?id={task_id}"


def poll(
    services: ServiceContainer, actor: Actor, task_id: str, links: ResultLinks, base: str
) -> ResultResponse:
    """The state of a task and, when it is ready, its result."""
    try:
        return _picture(services.inference.get(actor, task_id), links, base)
    except NotFoundError:
        pass
    try:
        return _finetune(services.finetuning.get(actor, task_id))
    except NotFoundError:
        return ResultResponse(id=task_id, status=StatusResponse.task_not_found)


def finetune_ids(services: ServiceContainer, actor: Actor) -> list[str]:
    """Every `finetune_id` of the actor: finetunes by id, uploaded LoRAs by name, as BFL has them."""
    uploaded = [model.name for model in services.models.list(actor) if model.origin == "import"]
    return [*(finetune.id for finetune in services.finetuning.list(actor)), *uploaded]


def finetune_details(services: ServiceContainer, actor: Actor, finetune_id: str) -> dict[str, Any]:
    """What there is to tell of a finetune, or of a LoRA that was uploaded or linked.

    Raises:
        NotFoundError: there is no such finetune, or it was deleted.
    """
    try:
        return _trained(services.finetuning.get(actor, finetune_id))
    except NotFoundError:
        model = _lora(services, actor, finetune_id)
        if model is None:
            raise
    return _trained(services.finetuning.get(actor, model.id)) if model.origin == "finetune" else _kept(model)


def delete_finetune(services: ServiceContainer, actor: Actor, finetune_id: str) -> tuple[str, str]:
    """Delete a finetune with its model, or an uploaded LoRA; its id and its name.

    Raises:
        NotFoundError: there is no such finetune, or it was deleted before.
    """
    try:
        finetune = services.finetuning.delete(actor, finetune_id)
    except NotFoundError:
        model = _lora(services, actor, finetune_id)
        if model is None:
            raise
        if model.origin != "finetune":
            services.models.delete(actor, model.id)
            return model.name, model.name
        finetune = services.finetuning.delete(actor, model.id)
    return finetune.id, finetune.name


def _lora(services: ServiceContainer, actor: Actor, finetune_id: str) -> Model | None:
    try:
        model = services.models.get(actor, finetune_id)
    except FluxsmithError:
        return None
    return model if model.kind == "lora" else None


def _kept(model: Model) -> dict[str, Any]:
    """Details of a LoRA that was not trained here."""
    return {
        "finetune_id": model.name if model.origin == "import" else model.id,
        "finetune_comment": model.name,
        "trigger_word": model.trigger_word,
        "finetune_type": "lora",
        "base_model": model.base_model,
        "status": StatusResponse.ready.value,
        "state": "done",
        "origin": model.origin,
        "size_bytes": model.size_bytes,
        "sha256": model.sha256,
        "created_at": model.created_at.isoformat() if model.created_at else None,
    }


def _trained(finetune: Finetune) -> dict[str, Any]:
    """Every submitted parameter but the pictures, and how the finetune fares."""
    job, parameters = finetune.job, finetune.parameters
    return {
        "finetune_id": finetune.id,
        "finetune_comment": finetune.name,
        "trigger_word": finetune.trigger_word,
        "mode": finetune.mode,
        "iterations": parameters.steps,
        "learning_rate": parameters.learning_rate,
        "captioning": finetune.captioning,
        "priority": parameters.priority,
        "finetune_type": parameters.finetune_type,
        "lora_rank": parameters.lora_rank,
        "base_model": finetune.base_model,
        "pictures": finetune.pictures,
        "status": status_of(job).value,
        "state": job.state,
        "stage": job.stage,
        "step": job.step,
        "total": job.total,
        "progress": training_progress(finetune),
        "eta_s": job.eta_s,
        "error": job.error.model_dump() if job.error else None,
        "facts": finetune.facts,
        "created_at": finetune.created_at.isoformat(),
        "started_at": _iso(job.started_at),
        "ended_at": _iso(job.ended_at),
    }


def status_of(job: Job) -> StatusResponse:
    """BFL's word for where a job stands."""
    if job.error is not None and job.error.code in _MODERATED:
        return _MODERATED[job.error.code]
    return STATUS[job.state]


def training_progress(finetune: Finetune) -> float:
    """How much of the training is done, 0 to 1; what comes before the first step counts as nothing."""
    job = finetune.job
    before = job.state != "done" and job.total != finetune.parameters.steps
    return 0.0 if before else job.progress


def _picture(generation: Generation, links: ResultLinks, base: str) -> ResultResponse:
    job = generation.job
    if job.state != "done" or not generation.outputs:
        return _unfinished(generation.id, job, job.progress)
    output = generation.outputs[0]
    file = ResultFile(generation.id, 0, generation.output_format)
    began, ended = job.started_at, job.ended_at
    return ResultResponse(
        id=generation.id,
        status=StatusResponse.ready,
        progress=1.0,
        result=PictureResult(
            sample=base + links.path(file),
            prompt=generation.prompt,
            seed=output.seed,
            start_time=began.timestamp() if began else None,
            end_time=ended.timestamp() if ended else None,
            duration=(ended - began).total_seconds() if began and ended else None,
        ),
        details=_drawn_at(generation),
    )


def _drawn_at(generation: Generation) -> dict[str, Any]:
    output = generation.outputs[0]
    native = f"{output.native_width}×{output.native_height}"
    asked = f"{output.width}×{output.height}"
    details: dict[str, Any] = {
        "model": generation.model,
        "native_width": output.native_width,
        "native_height": output.native_height,
    }
    if output.reused_from:
        details["reused_from"] = output.reused_from
    if generation.prompt_upsampling:
        details["upsampled_prompt"] = upsample(generation.prompt)
    if native != asked:
        details["message"] = f"Drawn at {native}, the model's own size, and scaled to {asked}."
    return details


def _finetune(finetune: Finetune) -> ResultResponse:
    if finetune.job.state != "done":
        return _unfinished(finetune.id, finetune.job, training_progress(finetune))
    return ResultResponse(
        id=finetune.id,
        status=StatusResponse.ready,
        progress=1.0,
        result=FinetuneResult(
            finetune_id=finetune.id,
            finetune_comment=finetune.name,
            trigger_word=finetune.trigger_word,
        ),
    )


def _unfinished(task_id: str, job: Job, progress: float) -> ResultResponse:
    details: dict[str, Any] | None = None
    if job.error is not None:
        details = job.error.model_dump()
    elif job.state == "cancelled":
        details = {"code": "cancelled", "message": "The task was cancelled.", "hint": ""}
    elif job.state == "running":
        details = {"stage": job.stage, "step": job.step, "total": job.total, "eta_s": job.eta_s}
    return ResultResponse(id=task_id, status=status_of(job), progress=progress, details=details)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
