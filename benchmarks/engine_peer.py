"""The peer of the engine's benchmark: the method of diffusers' FLUX.2 klein LoRA script, as one process.

It is not the script itself (2,000 lines, most of them options; it also wants torchvision), but does in
the same order, with the same libraries, what `examples/dreambooth/train_dreambooth_lora_flux2_klein.py`
does for `--instance_prompt P --cache_latents --rank 16 --lora_alpha 16 --train_batch_size 4
--weighting_scheme logit_normal --lr_scheduler constant --lr_warmup_steps 0`: Accelerator, a text
encoding pipeline beside the models, a data loader that caches latents and then yields pixels each
step, latents patched and normalised and ids made anew each step, noise levels looked up one by one,
`loss.item()` each step, clipping over all parameters, `save_lora_weights`. Left out, to its advantage:
trackers, the model card, torchvision's import.
Its threads wait asleep as ours do, so that other work on the machine does not count against it.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.putenv("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration, set_seed
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from diffusers.optimization import get_scheduler
from diffusers.training_utils import (
    _collate_lora_metadata,
    compute_density_for_timestep_sampling,
    compute_loss_weighting_for_sd3,
    free_memory,
)
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader, Dataset
from transformers import Qwen2TokenizerFast, Qwen3ForCausalLM


class Pictures(Dataset[dict[str, Any]]):
    """Pictures scaled to the training side, in memory, as `DreamBoothDataset` keeps them."""

    def __init__(self, folder: Path, side: int) -> None:
        self.pixels = []
        for path in sorted(folder.iterdir()):
            picture = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
            values = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
            self.pixels.append((values - 0.5) / 0.5)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"index": index, "pixels": self.pixels[index]}


class ShuffledBatches(BatchSampler):
    """Whole batches of shuffled pictures, as `BucketBatchSampler` makes them of one bucket."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.generator = count, batch_size, random.Random(seed)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(range(self.count))
        self.generator.shuffle(order)
        for start in range(0, self.count - self.batch_size + 1, self.batch_size):
            yield order[start : start + self.batch_size]

    def __len__(self) -> int:
        return self.count // self.batch_size


def _collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
    pixels = torch.stack([example["pixels"] for example in examples])
    pixels = pixels.to(memory_format=torch.contiguous_format).float()
    return {"indices": [example["index"] for example in examples], "pixels": pixels}


def main(args: argparse.Namespace) -> None:
    """Train and write the LoRA file; print `step N` after each step."""
    accelerator = Accelerator(
        gradient_accumulation_steps=1,
        project_config=ProjectConfiguration(project_dir=args.out),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    set_seed(0)
    layers = [int(layer) for layer in args.layers.split(",")]

    tokenizer = Qwen2TokenizerFast.from_pretrained(args.model, subfolder="tokenizer")
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(args.model, subfolder="scheduler")
    scheduler_copy = copy.deepcopy(scheduler)
    vae = AutoencoderKLFlux2.from_pretrained(args.model, subfolder="vae")
    mean = vae.bn.running_mean.view(1, -1, 1, 1).to(accelerator.device)
    std = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)
    transformer = Flux2Transformer2DModel.from_pretrained(
        args.model, subfolder="transformer", dtype=torch.float32
    )
    text_encoder = Qwen3ForCausalLM.from_pretrained(args.model, subfolder="text_encoder")
    for part in (transformer, vae, text_encoder):
        part.requires_grad_(False)
        part.to(device=accelerator.device, dtype=torch.float32)
    text_pipeline = Flux2KleinPipeline.from_pretrained(
        args.model,
        vae=None,
        transformer=None,
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        scheduler=None,
    )
    singles = [f"single_transformer_blocks.{i}.attn.to_out" for i in range(24)]
    transformer.add_adapter(
        LoraConfig(
            r=16,
            lora_alpha=16,
            lora_dropout=0.0,
            init_lora_weights="gaussian",
            target_modules=["to_k", "to_q", "to_v", "to_out.0", "to_qkv_mlp_proj", *singles],
        )
    )
    trained = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": trained, "lr": 1e-4}], betas=(0.9, 0.999), weight_decay=1e-4, eps=1e-8
    )
    dataset = Pictures(Path(args.pictures), args.side)
    sampler = ShuffledBatches(len(dataset), args.batch, seed=0)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=_collate, num_workers=0)
    with torch.no_grad():
        embeddings, text_ids = text_pipeline.encode_prompt(
            prompt=args.prompt, max_sequence_length=args.tokens, text_encoder_out_layers=layers
        )
        cache = [None] * len(dataset)
        for batch in DataLoader(dataset, batch_size=args.batch, collate_fn=_collate):
            latents = vae.encode(batch["pixels"].to(accelerator.device, dtype=vae.dtype)).latent_dist.mode()
            for place, index in enumerate(batch["indices"]):
                cache[index] = latents[place : place + 1]
    del vae, text_encoder, tokenizer, text_pipeline
    free_memory()
    rates = get_scheduler("constant", optimizer=optimizer, num_warmup_steps=0, num_training_steps=args.steps)
    transformer, optimizer, loader, rates = accelerator.prepare(transformer, optimizer, loader, rates)

    def sigmas_of(timesteps: torch.Tensor, dimensions: int, dtype: torch.dtype) -> torch.Tensor:
        table = scheduler_copy.sigmas.to(device=accelerator.device, dtype=dtype)
        schedule = scheduler_copy.timesteps.to(accelerator.device)
        indices = [(schedule == t).nonzero().item() for t in timesteps]
        sigma: torch.Tensor = table[indices].flatten()
        while len(sigma.shape) < dimensions:
            sigma = sigma.unsqueeze(-1)
        return sigma

    step = 0
    while step < args.steps:
        transformer.train()
        for batch in loader:
            with accelerator.accumulate([transformer]):
                prompts = embeddings.repeat_interleave(len(batch["indices"]), dim=0)
                ids = text_ids.repeat_interleave(len(batch["indices"]), dim=0)
                x = torch.cat([cache[index] for index in batch["indices"]], dim=0)
                x = (Flux2KleinPipeline._patchify_latents(x) - mean) / std
                picture_ids = Flux2KleinPipeline._prepare_latent_ids(x).to(device=x.device)
                noise = torch.randn_like(x)
                u = compute_density_for_timestep_sampling(
                    "logit_normal", batch_size=x.shape[0], logit_mean=0.0, logit_std=1.0, mode_scale=1.29
                )
                indices = (u * scheduler_copy.config.num_train_timesteps).long()
                timesteps = scheduler_copy.timesteps[indices].to(device=x.device)
                sigmas = sigmas_of(timesteps, x.ndim, x.dtype)
                noisy = Flux2KleinPipeline._pack_latents((1.0 - sigmas) * x + sigmas * noise)
                predicted = transformer(
                    hidden_states=noisy,
                    timestep=timesteps / 1000,
                    guidance=None,
                    encoder_hidden_states=prompts,
                    txt_ids=ids,
                    img_ids=picture_ids,
                    return_dict=False,
                )[0]
                predicted = predicted[:, : noisy.size(1) :]
                predicted = Flux2KleinPipeline._unpack_latents_with_ids(predicted, picture_ids)
                weighting = compute_loss_weighting_for_sd3("logit_normal", sigmas=sigmas)
                squares = weighting.float() * (predicted.float() - (noise - x).float()) ** 2
                loss = torch.mean(squares.reshape(x.shape[0], -1), 1).mean()
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(transformer.parameters(), 1.0)
                optimizer.step()
                rates.step()
                optimizer.zero_grad()
            step += 1
            print(f"step {step} {loss.detach().item()}", flush=True)
            if step >= args.steps:
                break
    accelerator.wait_for_everyone()
    transformer = accelerator.unwrap_model(transformer)
    Flux2KleinPipeline.save_lora_weights(
        save_directory=args.out,
        transformer_lora_layers=get_peft_model_state_dict(transformer),
        **_collate_lora_metadata({"transformer": transformer}),
    )
    accelerator.end_training()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "pictures", "out", "prompt", "layers"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("steps", "side", "batch", "tokens"):
        parser.add_argument(f"--{name}", type=int, required=True)
    main(parser.parse_args())
