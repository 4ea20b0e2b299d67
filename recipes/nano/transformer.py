"""Train nano's transformer and text encoder together on the encoded scenes.

Flow matching as in Esser et al. 2024: x_t = (1 - sigma) x + sigma noise, the target is noise - x, sigma is
logit-normal and then shifted as the scheduler shifts it. The first part of the time goes to 64 px pictures,
whose positions are spread over the large picture's, so that nothing has to be learned anew at 128 px. Rates
fall to zero over the last 40 % of the time; what is kept is a running average of the weights.
"""

from __future__ import annotations

import copy
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from torch import Tensor, nn
from transformers import Qwen2Tokenizer, Qwen3ForCausalLM

from recipes.nano.captions import caption
from recipes.nano.latents import SIDES, Encoded, load_latents
from recipes.nano.model import SHIFT, TEXT_LAYERS, new_text_encoder, new_transformer, save_pipeline
from recipes.nano.muon import Optimizer
from recipes.nano.tokenizer import SEQUENCE
from recipes.nano.workplace import Workplace

MINUTES = 64.0
SMALL_SHARE = 0.4
"""Of the time, at 64 px."""
BATCH = {64: 32, 128: 20}
AVERAGE = 0.998
SAVE_EVERY_S = 180.0
EXPORT_EVERY_S = 840.0


@dataclass
class Progress:
    """What a resumed run must know beside weights and optimizer."""

    step: int = 0
    seen: int = 0
    spent_s: float = 0.0


@dataclass
class Learner:
    """The two networks, their running averages and their optimizer."""

    transformer: Flux2Transformer2DModel
    text_encoder: Qwen3ForCausalLM
    tokenizer: Qwen2Tokenizer
    optimizer: Optimizer = field(init=False)
    averages: list[nn.Module] = field(init=False)
    predict: Callable[..., Tensor] = field(init=False)
    ids: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.predict = self._predict
        self.optimizer = Optimizer(self.networks)
        self.averages = [copy.deepcopy(network).requires_grad_(False) for network in self.networks]

    @property
    def networks(self) -> list[nn.Module]:
        """What is trained, in the order of `averages`."""
        return [self.transformer, self.text_encoder]

    def _predict(
        self, mixed: Tensor, sigma: Tensor, text: Tensor, img_ids: Tensor, txt_ids: Tensor
    ) -> Tensor:
        return self.transformer(  # type: ignore[no-any-return]
            hidden_states=mixed,
            timestep=sigma,
            guidance=None,
            encoder_hidden_states=text,
            txt_ids=txt_ids,
            img_ids=img_ids,
            return_dict=False,
        )[0]

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Move the averages towards the weights; faster at the start."""
        share = 1 - min(AVERAGE, (step + 1) / (step + 20))
        for network, kept in zip(self.networks, self.averages, strict=True):
            torch._foreach_lerp_(list(kept.parameters()), list(network.parameters()), share)


def train_transformer(work: Workplace, minutes: float = MINUTES) -> None:
    """Train for `minutes` of this machine's time, or go on from the last checkpoint; then export `nano/`."""
    if work.path("trained").exists():
        return
    encoded = load_latents(work)
    learner = new_learner(work)
    progress = _resume(work, learner)
    if work.compiled:
        learner.predict = torch.compile(learner.predict, dynamic=False)
    budget_s = minutes * 60 * work.fraction
    saved_at = exported_at = time.monotonic()
    total = 0.0
    while progress.spent_s < budget_s:
        started = time.monotonic()
        share = progress.spent_s / budget_s
        side = SIDES[0] if share < SMALL_SHARE else SIDES[1]
        loss = batch_loss(learner, encoded, side, progress.step)
        torch.autograd.backward(loss)
        learner.optimizer.step(min(1.0, (progress.step + 1) / 100, max(0.01, (1 - share) / 0.4)))
        learner.average(progress.step)
        progress.step += 1
        progress.seen += BATCH[side]
        total += loss.item()
        now = time.monotonic()
        progress.spent_s += now - started
        if progress.step % 100 == 0:
            work.log("transformer", side=side, loss=round(total / 100, 4), **_rounded(progress))
            total = 0.0
        if now - saved_at > SAVE_EVERY_S:
            _checkpoint(work, learner, progress)
            saved_at = time.monotonic()
        if now - exported_at > EXPORT_EVERY_S:
            export(work, learner)
            exported_at = time.monotonic()
    _checkpoint(work, learner, progress)
    export(work, learner)
    work.log("transformer", done=1, **_rounded(progress))
    work.path("trained").touch()


def new_learner(work: Workplace) -> Learner:
    """Untrained networks with fixed random weights."""
    torch.manual_seed(2)
    tokenizer = Qwen2Tokenizer.from_pretrained(work.path("tokenizer"))
    return Learner(new_transformer(), new_text_encoder(len(tokenizer)), tokenizer)


def batch_loss(learner: Learner, encoded: Encoded, side: int, step: int) -> Tensor:
    """Flow-matching loss of one batch; the same batch for the same step."""
    rng, noise_rng = random.Random(step), torch.Generator().manual_seed(step)
    chosen = [rng.choice(encoded.draws) for _ in range(BATCH[side])]
    clean = encoded.tokens[side][chosen].float()
    text = text_states(learner, [caption(encoded.scenes[i], rng) for i in chosen])
    normal = torch.sigmoid(torch.randn(len(chosen), generator=noise_rng))
    sigma = SHIFT * normal / (1 + (SHIFT - 1) * normal)
    noise = torch.randn(clean.shape, generator=noise_rng)
    mixed = torch.lerp(clean, noise, sigma.view(-1, 1, 1))
    made = learner.predict(mixed, sigma, text, image_positions(side), text_positions())
    return (made - (noise - clean)).square().mean()


def text_states(learner: Learner, prompts: list[str]) -> Tensor:
    """What the pipeline gives to the transformer for prompts: (n, SEQUENCE, layers * width)."""
    ids = torch.stack([_token_ids(learner, prompt) for prompt in prompts])
    out = learner.text_encoder.model(
        input_ids=ids, attention_mask=(ids != 0).long(), output_hidden_states=True, use_cache=False
    )
    return torch.cat([out.hidden_states[layer] for layer in TEXT_LAYERS], dim=-1)


def _token_ids(learner: Learner, prompt: str) -> Tensor:
    if prompt not in learner.ids:
        messages = [{"role": "user", "content": prompt}]
        text = learner.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        coded = learner.tokenizer(
            text, return_tensors="pt", padding="max_length", truncation=True, max_length=SEQUENCE
        )
        learner.ids[prompt] = coded["input_ids"][0]
    return learner.ids[prompt]


def text_positions() -> Tensor:
    """(SEQUENCE, 4): zero but for the last axis, as the pipeline numbers them."""
    return torch.cartesian_prod(
        torch.arange(1), torch.arange(1), torch.arange(1), torch.arange(SEQUENCE)
    ).float()


def image_positions(side: int) -> Tensor:
    """(side/16 * side/16, 4): row and column on the 128 px picture's grid, whatever the side."""
    stretch = SIDES[-1] / side
    line = torch.arange(side // 16) * stretch + (stretch - 1) / 2
    return torch.cartesian_prod(torch.zeros(1), line, line, torch.zeros(1))


def export(work: Workplace, learner: Learner) -> None:
    """Write the averages as a half-precision pipeline folder, replacing the former one at once."""
    transformer, text_encoder = (copy.deepcopy(kept).half() for kept in learner.averages)
    vae = AutoencoderKLFlux2.from_pretrained(work.path("vae")).half()
    fresh, target = work.path("nano.tmp"), work.path("nano")
    shutil.rmtree(fresh, ignore_errors=True)
    save_pipeline(fresh, vae, learner.tokenizer, text_encoder, transformer)
    _swap(fresh, target)


def _swap(fresh: Path, target: Path) -> None:
    old = target.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _rounded(progress: Progress) -> dict[str, int]:
    return {"step": progress.step, "seen": progress.seen, "spent_s": round(progress.spent_s)}


def _checkpoint(work: Workplace, learner: Learner, progress: Progress) -> None:
    target = work.path("transformer.ckpt")
    state = {
        "networks": [network.state_dict() for network in learner.networks],
        "averages": [network.state_dict() for network in learner.averages],
        "optimizer": learner.optimizer.state(),
        "progress": vars(progress),
    }
    torch.save(state, target.with_suffix(".tmp"))
    target.with_suffix(".tmp").replace(target)


def _resume(work: Workplace, learner: Learner) -> Progress:
    if not work.path("transformer.ckpt").exists():
        return Progress()
    state = torch.load(work.path("transformer.ckpt"), weights_only=True)
    for network, saved in zip(learner.networks, state["networks"], strict=True):
        network.load_state_dict(saved)
    for network, saved in zip(learner.averages, state["averages"], strict=True):
        network.load_state_dict(saved)
    learner.optimizer.restore(state["optimizer"])
    return Progress(**state["progress"])
