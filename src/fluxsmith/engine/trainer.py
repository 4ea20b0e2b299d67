"""The training loop: encoded pictures in, a LoRA file out, an event at every step.

`train` is the whole run. What is random is a function of seed and step (`draws`), what lasts is in
checkpoints (`checkpoint`), what a model is like is the family's (`families`). Loss and noise follow
diffusers' `train_dreambooth_lora_flux2_klein.py`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fluxsmith.engine.cache import Prepared, prepare
from fluxsmith.engine.checkpoint import Checkpoint, newest_checkpoint, write_checkpoint
from fluxsmith.engine.device import choose_device
from fluxsmith.engine.draws import batch_indices, generator, timesteps
from fluxsmith.engine.events import TrainEvents
from fluxsmith.engine.families import open_model
from fluxsmith.engine.families.base import FamilyModel
from fluxsmith.engine.folder import read_folder
from fluxsmith.engine.lora import add_lora
from fluxsmith.engine.losses import LossLog
from fluxsmith.engine.optimizer import (
    learning_rate,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
    set_learning_rate,
)
from fluxsmith.engine.outcome import TrainResult, finish
from fluxsmith.engine.samples import LiveSamples
from fluxsmith.engine.spec import TrainSpec
from fluxsmith.errors import Cancelled


@dataclass
class _Run:
    """Everything that lives as long as the loop."""

    spec: TrainSpec
    model: FamilyModel
    prepared: Prepared
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.AdamW
    checkpoints: Path
    log: LossLog
    step: int = 0


def train(spec: TrainSpec, run_dir: Path, events: TrainEvents) -> TrainResult:
    """Carry a training run out, from the newest checkpoint in `run_dir` if there is one.

    Raises:
        Cancelled: `events` asked to stop.
        EngineError: weights or pictures are missing or damaged, or the loss is no number any more.
        StorageError: the disk filled up.
    """
    started = time.monotonic()
    events.progress("Loading the model", 0, 1)
    model = open_model(read_folder(Path(spec.model_folder)), choose_device(spec.device))
    prepared = _prepare(model, spec, run_dir, events)
    run = _start(spec, model, prepared, run_dir, events)
    samples = LiveSamples(spec, model, prepared.embeddings, run_dir / "samples", events)
    if not samples.wanted:
        model.forget_vae()
    resumed_at = _resume(run, events)
    if run.step == 0:
        samples.draw(0)
    _loop(run, samples, events)
    facts = {"resumed_at": resumed_at, "train_s": round(time.monotonic() - started, 2), **run.log.summary()}
    events.progress("Saving", spec.steps, spec.steps)
    result = finish(spec, model, run.parameters, run_dir, facts, run.log.losses)
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    return result


def _prepare(model: FamilyModel, spec: TrainSpec, run_dir: Path, events: TrainEvents) -> Prepared:
    def on_step(stage: str, step: int, total: int) -> None:
        _stop_if_asked(events)
        events.progress(stage, step, total)

    captions = [picture.caption for picture in spec.pictures]
    prompts = list(dict.fromkeys(["", *captions, *spec.sample_prompts]))
    paths = [Path(picture.path) for picture in spec.pictures]
    prepared = prepare(model, paths, prompts, spec.resolution, run_dir / "cache", on_step)
    model.forget_text_encoder()
    return prepared


def _start(
    spec: TrainSpec, model: FamilyModel, prepared: Prepared, run_dir: Path, events: TrainEvents
) -> _Run:
    transformer = model.transformer
    if spec.finetune_type == "full":
        transformer.requires_grad_(True).float()
    else:
        add_lora(transformer, model.lora_targets(), spec.lora_rank, spec.lora_alpha, spec.seed)
    transformer.train()
    parameters = {name: value for name, value in transformer.named_parameters() if value.requires_grad}
    optimizer = make_optimizer(parameters, spec)
    log = LossLog(spec, events, lazily=model.device.type != "cpu")
    return _Run(spec, model, prepared, parameters, optimizer, run_dir / "checkpoints", log)


def _resume(run: _Run, events: TrainEvents) -> int:
    checkpoint = newest_checkpoint(run.checkpoints, run.spec.fingerprint())
    if checkpoint is None:
        return 0
    with torch.no_grad():
        for name, parameter in run.parameters.items():
            parameter.copy_(checkpoint.weights[name])
    restore_optimizer(run.optimizer, run.parameters, checkpoint.optimizer)
    run.step = checkpoint.step
    run.log.restore(checkpoint.losses)
    events.message(f"Training goes on from step {checkpoint.step}.")
    return checkpoint.step


def _loop(run: _Run, samples: LiveSamples, events: TrainEvents) -> None:
    spec = run.spec
    device_batch = _batches(run)
    run.log.start(run.step)
    while run.step < spec.steps:
        _stop_if_asked(events)
        rate = learning_rate(spec, run.step)
        loss = _step(run, rate, device_batch)
        run.step += 1
        run.log.add(run.step, loss, rate)
        if samples.due(run.step):
            run.log.flush()
            samples.draw(run.step)
        if run.step % spec.checkpoint_every == 0 and run.step < spec.steps:
            run.log.flush()
            _keep(run)
    run.log.flush()


def _step(run: _Run, rate: float, batch_of: Callable[[int], tuple[Tensor, ...]]) -> Tensor:
    """One optimizer step; returns its loss, still on the device."""
    spec = run.spec
    run.optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=run.model.device)
    grid = run.model.grid(spec.resolution, spec.resolution)
    for part in range(spec.gradient_accumulation):
        latents, noise, sigmas, prompts = batch_of(run.step * spec.gradient_accumulation + part)
        loss = run.model.loss(latents, noise, sigmas, prompts, grid) / spec.gradient_accumulation
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    nn.utils.clip_grad_norm_(run.parameters.values(), spec.max_grad_norm)
    set_learning_rate(run.optimizer, rate)
    run.optimizer.step()
    return total


def _batches(run: _Run) -> Callable[[int], tuple[Tensor, ...]]:
    """A function from the number of a batch to its latents, noise, sigmas and embeddings."""
    spec, device = run.spec, run.model.device
    latents = run.prepared.latents.to(device)
    words = torch.stack([run.prepared.embeddings[picture.caption] for picture in spec.pictures]).to(device)
    nothing = run.prepared.embeddings[""].to(device)

    def batch(number: int) -> tuple[Tensor, ...]:
        chosen = batch_indices(spec.seed, len(spec.pictures), spec.batch_size, number)
        source = generator(spec.seed, "batch", number)
        sigmas = run.model.noise_levels(timesteps(spec.batch_size, spec.timestep_sampling, source))
        dropped = torch.rand(spec.batch_size, generator=source) < spec.caption_dropout
        noise = torch.randn((spec.batch_size, *latents.shape[1:]), generator=source)
        prompts = torch.where(dropped.to(device)[:, None, None], nothing, words[chosen])
        return latents[chosen], noise.to(device), sigmas.to(device), prompts

    return batch


def _keep(run: _Run) -> None:
    write_checkpoint(
        run.checkpoints,
        Checkpoint(
            step=run.step,
            fingerprint=run.spec.fingerprint(),
            weights={name: value.detach() for name, value in run.parameters.items()},
            optimizer=optimizer_tensors(run.optimizer, run.parameters),
            losses=run.log.losses,
        ),
    )


def _stop_if_asked(events: TrainEvents) -> None:
    if events.stopping():
        raise Cancelled()
