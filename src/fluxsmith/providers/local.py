"""The provider that is always there: this machine, by our own engine.

Training runs in a child process (`local_run`), drawing in this one. Nothing here imports torch before
it is needed, so that the web process can list models without it.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fluxsmith.engine.folder import CARD, ModelFolder, check_weights, read_folder
from fluxsmith.engine.lora_file import inspect_lora
from fluxsmith.engine.spec import SpecPicture, TrainSpec
from fluxsmith.engine.threads import wait_asleep
from fluxsmith.errors import Cancelled, EngineError, NotFoundError
from fluxsmith.providers.base import (
    BaseModelInfo,
    FinetuneOutcome,
    FinetuneTask,
    GenerationTask,
    LoraFacts,
    Picture,
    Reporter,
    TrainingReporter,
)
from fluxsmith.providers.local_run import run_training

if TYPE_CHECKING:
    from fluxsmith.engine.sampler import Sampler

_SHIPPED = Path(__file__).parent.parent / "models"
_INSTALL_HINT = "Install the package again, or point FLUXSMITH_MODELS_DIR at a folder with its weights."
_log = logging.getLogger(__name__)

_LORA_RATE, _FULL_RATE = 1e-4, 1e-5
"""Where a model's folder names no rate: what people settle on for klein."""
_QUALITY_BATCH, _SPEED_BATCH = 4, 2


class LocalProvider:
    """Trains and draws on this machine.

    Args:
        models_dir: a folder of base models, or one base model, searched before the shipped ones.
        device: `auto`, `cpu` or `cuda`.
        memory_limit_bytes: most memory that training may take; None for no limit.
    """

    name = "local"
    remote = False

    def __init__(
        self,
        models_dir: Path | None = None,
        device: str = "auto",
        memory_limit_bytes: int | None = None,
    ) -> None:
        self._roots = [models_dir, _SHIPPED] if models_dir is not None else [_SHIPPED]
        self._device = device
        self._memory_limit_bytes = memory_limit_bytes
        self._sampler: Sampler | None = None
        self._lock = threading.Lock()

    def models(self) -> list[BaseModelInfo]:
        """The base models in the folders; one whose description is damaged is left out and logged."""
        return [
            BaseModelInfo(
                name=folder.name,
                title=folder.title,
                family=folder.family,
                provider=self.name,
                license=folder.license,
                native_side=folder.native_side,
                capabilities=folder.capabilities,
                trainable=True,
            )
            for folder in self._folders().values()
        ]

    def check(self, model: str) -> None:
        """Check that a base model's files are there and whole, without loading them.

        Raises:
            EngineError: `weights-missing` or `weights-damaged`.
        """
        folders = self._folders()
        if model in folders:
            check_weights(folders[model])
            return
        for path in self._candidates():
            check_weights(read_folder(path))
        raise EngineError(
            "weights-missing",
            f"There is no base model named '{model}' in {' or '.join(str(root) for root in self._roots)}.",
            hint=_INSTALL_HINT,
        )

    def folder_of(self, model: str) -> Path:
        """Where a base model's files lie.

        Raises:
            NotFoundError: there is no such model.
        """
        return self._folder(model).path

    def device_name(self) -> str:
        """The device that models run on, in words; loads torch.

        Raises:
            EngineError: `device-missing`: the one that is set is not there.
        """
        from fluxsmith.engine.device import choose_device

        device = choose_device(self._device)
        return f"{device} (set to {self._device})"

    def check_lora(self, model: str, path: Path) -> LoraFacts:
        """Check a file from elsewhere by its header and its numbers; loads neither torch nor the model.

        Raises:
            ValidationError: what is wrong with it, in words.
            NotFoundError: there is no such model.
        """
        found = inspect_lora(path, self._folder(model))
        return LoraFacts(found.rank, found.metadata.get("trigger_word", ""))

    def warm_up(self, model: str = "nano") -> None:
        """Load a base model now, so that the first picture comes soon.

        Raises:
            NotFoundError: there is no such model.
            EngineError: its weights are missing or damaged.
        """
        folder = self._folder(model)
        self._hot_sampler().load(folder.path)

    def finetune(self, task: FinetuneTask, report: TrainingReporter) -> FinetuneOutcome:
        """Train in a child process, going on from its checkpoint if it or this process was killed.

        Raises:
            Cancelled: `report` asked to stop.
            CapacityError: memory ran out.
            EngineError: training failed.
            StorageError: the disk filled up.
        """
        spec = self._spec(task)
        return run_training(spec, task.run_dir, report)

    def generate(self, task: GenerationTask, report: Reporter) -> list[Picture]:
        """Draw in this process.

        Raises:
            Cancelled: `report` asked to stop.
            CapacityError: memory ran out.
            EngineError: weights or a LoRA are missing, damaged or do not fit.
        """
        wait_asleep()
        from fluxsmith.engine.adapters import LoraUse
        from fluxsmith.engine.conditions import ControlUse, FillUse
        from fluxsmith.engine.sampler import DrawRequest

        def on_step(step: int, total: int) -> None:
            if report.cancelled():
                raise Cancelled()
            report.progress("Drawing", step, total)

        folder = self._folder(task.base_model)
        report.progress("Loading the model", 0, 1)
        followed = task.followed
        control, fill = followed.control, followed.fill
        request = DrawRequest(
            prompt=task.prompt,
            width=task.width,
            height=task.height,
            seed=task.seed,
            count=task.count,
            steps=task.steps,
            guidance=task.guidance,
            loras=tuple(LoraUse(lora.id, lora.path, lora.strength) for lora in task.adapters),
            references=followed.references,
            image_prompts=followed.image_prompts,
            image_prompt_strength=followed.image_prompt_strength,
            control=ControlUse(control.kind, control.path, control.low, control.high, control.ready)
            if control
            else None,
            fill=FillUse(fill.picture, fill.mask) if fill else None,
        )
        drawn = self._hot_sampler().draw(folder.path, request, on_step, report.message)
        return [Picture(one.png, one.seed, one.native_width, one.native_height) for one in drawn]

    def close(self) -> None:
        """Give the loaded model's memory back."""
        with self._lock:
            if self._sampler is not None:
                self._sampler.close()
                self._sampler = None

    def _hot_sampler(self) -> Sampler:
        wait_asleep()
        from fluxsmith.engine.sampler import Sampler

        with self._lock:
            if self._sampler is None:
                self._sampler = Sampler(self._device)
            return self._sampler

    def _folders(self) -> dict[str, ModelFolder]:
        folders: dict[str, ModelFolder] = {}
        for path in self._candidates():
            try:
                folder = read_folder(path)
            except EngineError as error:
                _log.warning("A base model is left out: %s", error)
                continue
            folders.setdefault(folder.name, folder)
        return folders

    def _candidates(self) -> list[Path]:
        paths = []
        for root in self._roots:
            paths += [
                card.parent for card in (root / CARD, *sorted(root.glob(f"*/{CARD}"))) if card.is_file()
            ]
        return paths

    def _folder(self, name: str) -> ModelFolder:
        folder = self._folders().get(name)
        if folder is None:
            raise NotFoundError(
                "model-not-found",
                f"There is no base model named '{name}'.",
                hint=_INSTALL_HINT,
            )
        return folder

    def _spec(self, task: FinetuneTask) -> TrainSpec:
        folder, asked = self._folder(task.base_model), task.parameters
        rate = asked.learning_rate
        if rate is None:
            rate = _FULL_RATE if asked.finetune_type == "full" else folder.default_learning_rate or _LORA_RATE
        batch = asked.batch_size or (_SPEED_BATCH if asked.priority == "speed" else _QUALITY_BATCH)
        return TrainSpec(
            model_folder=str(folder.path),
            pictures=tuple(SpecPicture(str(picture.path), picture.caption) for picture in task.pictures),
            trigger_word=task.trigger_word,
            steps=asked.steps,
            lora_rank=asked.lora_rank,
            lora_alpha=asked.lora_alpha if asked.lora_alpha is not None else float(asked.lora_rank),
            learning_rate=rate,
            batch_size=batch,
            resolution=asked.resolution or folder.native_side,
            finetune_type=asked.finetune_type,
            gradient_accumulation=asked.gradient_accumulation,
            warmup_steps=asked.warmup_steps,
            schedule=asked.schedule,
            max_grad_norm=asked.max_grad_norm,
            weight_decay=asked.weight_decay,
            caption_dropout=asked.caption_dropout,
            timestep_sampling=asked.timestep_sampling,
            sample_every=asked.sample_every,
            sample_prompts=asked.sample_prompts or (task.trigger_word,),
            checkpoint_every=asked.checkpoint_every,
            seed=asked.seed,
            device=self._device,
            memory_limit_bytes=self._memory_limit_bytes,
            metadata=task.metadata,
        )
