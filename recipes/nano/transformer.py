"""Train nano's transformer and text encoder together on the encoded scenes.

Flow matching as in Esser et al. 2024: x_t = (1 - sigma) x + sigma noise, the target is noise - x, sigma is
logit-normal and then shifted as the scheduler shifts it. The first part of the time goes to 64 px pictures,
whose positions are spread over the large picture's, so that nothing has to be learned anew at 128 px. Some
batches come with reference pictures: 64 px, the same thing in another style, as further tokens where the
pipeline puts them. Rates fall to zero at the end; what is kept is a running average of the weights.
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

from recipes.nano.captions import caption, reference_caption
from recipes.nano.latents import Encoded, load_latents
from recipes.nano.model import SHIFT, TEXT_LAYERS, new_text_encoder, new_transformer, save_pipeline
from recipes.nano.muon import Optimizer, split
from recipes.nano.pixels import SIDES
from recipes.nano.team import Plan, Team
from recipes.nano.things import known_things
from recipes.nano.tokenizer import SEQUENCE
from recipes.nano.workplace import Workplace

MINUTES = 180.0
SMALL_SHARE = 0.29
"""Of the time, at 64 px."""
FOCUS_AT = 0.43
"""Share of the time after which only known things are shown."""
REFERENCE_SHARE = 0.15
"""Of the batches, with a reference picture and a prompt that does not name the thing."""
CONTROL_SHARE = 0.1
"""Of the batches, with the edges or the relief of the very picture as a reference."""
DECAY_SHARE = 0.35
"""Of the time, at its end, over which the rates fall to zero."""
BATCH = {64: 20, 128: 16}
AVERAGE = 0.998
SAVE_EVERY_S = 180.0
EXPORT_EVERY_S = 420.0


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
        self.predict = self.eager
        self.optimizer = Optimizer(self.networks)
        self.averages = [copy.deepcopy(network).requires_grad_(False) for network in self.networks]
        matrices, others = split(self.averages)
        self.kept: list[Tensor] = [*matrices, *others]

    @property
    def networks(self) -> list[nn.Module]:
        """What is trained, in the order of `averages`."""
        return [self.transformer, self.text_encoder]

    def share_memory(self) -> None:
        """Let processes that are forked later work on the same tensors."""
        for network in [*self.networks, *self.averages]:
            network.share_memory()
        self.optimizer.share_memory()

    @torch.no_grad()
    def update(self, index: int, gradient: Tensor, step: int, share_of_rate: float) -> None:
        """Move one parameter, and its average towards it; faster at the start."""
        self.optimizer.update(index, gradient, step, share_of_rate)
        share = 1 - min(AVERAGE, (step + 1) / (step + 20))
        self.kept[index].lerp_(self.optimizer.parameters[index], share)

    def eager(self, mixed: Tensor, sigma: Tensor, text: Tensor, img_ids: Tensor, txt_ids: Tensor) -> Tensor:
        """The transformer's prediction; `predict` may be a compiled form of it."""
        return self.transformer(  # type: ignore[no-any-return]
            hidden_states=mixed,
            timestep=sigma,
            guidance=None,
            encoder_hidden_states=text,
            txt_ids=txt_ids,
            img_ids=img_ids,
            return_dict=False,
        )[0]


def train_transformer(work: Workplace, minutes: float = MINUTES) -> None:
    """Train for `minutes` of this machine's time, or go on from the last checkpoint; then export `nano/`."""
    if work.path("trained").exists():
        return
    torch.set_num_threads(1)
    shown = load_latents(work)
    known = shown.only(known_things(work.fraction))
    learner = new_learner(work)
    progress = _resume(work, learner)
    learner.share_memory()
    team = Team(work.processes, learner.optimizer.parameters)
    owned = learner.optimizer.owned(team.size)
    keeper = Keeper(work, learner, progress, minutes * 60 * work.fraction)

    def carry_out(rank: int) -> None:
        if work.compiled:
            learner.predict = torch.compile(learner.eager, dynamic=False)
        step = progress.step
        while True:
            plan = team.agree(keeper.plan() if rank == 0 else None)
            if not plan.side:
                return
            encoded = known if plan.focused else shown
            loss = batch_loss(
                learner, encoded, plan.side, step * team.size + rank, BATCH[plan.side] // team.size
            )
            torch.autograd.backward(loss)
            team.put(rank, learner.optimizer.parameters)
            for index in owned[rank]:
                learner.update(index, team.gradient(index), step, plan.share_of_rate)
            team.meet()
            step += 1
            if rank == 0:
                keeper.took_step(plan, loss.item())

    team.run(carry_out)
    _checkpoint(work, learner, progress)
    export(work, learner)
    work.log("transformer", done=1, **_rounded(progress))
    work.path("trained").touch()


class Keeper:
    """Rank 0's book: what comes next, the log, checkpoints and interim weights."""

    def __init__(self, work: Workplace, learner: Learner, progress: Progress, budget_s: float) -> None:
        self.work, self.learner, self.progress, self.budget_s = work, learner, progress, budget_s
        self.losses: list[float] = []
        self.last_step_at = self.saved_at = self.exported_at = time.monotonic()

    def plan(self) -> Plan:
        """The next step's side and share of the full rate; side 0 at the end."""
        share = self.progress.spent_s / self.budget_s
        if share >= 1:
            return Plan(0, 0.0)
        rate = min(1.0, (self.progress.step + 1) / 100, max(0.01, (1 - share) / DECAY_SHARE))
        return Plan(SIDES[0] if share < SMALL_SHARE else SIDES[1], rate, share >= FOCUS_AT)

    def took_step(self, plan: Plan, loss: float) -> None:
        """Count a step, and save what is due."""
        now = time.monotonic()
        self.progress.step += 1
        self.progress.seen += BATCH[plan.side]
        self.progress.spent_s += now - self.last_step_at
        self.last_step_at = now
        self.losses.append(loss)
        if self.progress.step % 100 == 0:
            mean = round(sum(self.losses) / len(self.losses), 4)
            self.work.log("transformer", side=plan.side, loss=mean, **_rounded(self.progress))
            self.losses.clear()
        if now - self.saved_at > SAVE_EVERY_S:
            _checkpoint(self.work, self.learner, self.progress)
            self.saved_at = time.monotonic()
        if now - self.exported_at > EXPORT_EVERY_S:
            export(self.work, self.learner)
            self.exported_at = time.monotonic()


def new_learner(work: Workplace) -> Learner:
    """Untrained networks with fixed random weights."""
    torch.manual_seed(2)
    tokenizer = Qwen2Tokenizer.from_pretrained(work.path("tokenizer"))
    return Learner(new_transformer(), new_text_encoder(len(tokenizer)), tokenizer)


def batch_loss(learner: Learner, encoded: Encoded, side: int, seed: int, size: int) -> Tensor:
    """Flow-matching loss of one batch; the same batch for the same seed."""
    rng, noise_rng = random.Random(seed), torch.Generator().manual_seed(seed)
    chosen = [encoded.choose(rng) for _ in range(size)]
    clean = encoded.tokens[side][chosen].float()
    scenes = [encoded.scenes[i] for i in chosen]
    shown, positions = clean[:, :0], image_positions(side)
    kind = rng.random()
    captions = [caption(scene, rng) for scene in scenes]
    if kind < REFERENCE_SHARE:
        shown = encoded.tokens[SIDES[0]][[encoded.reference(scene, rng) for scene in scenes]].float()
        captions = [reference_caption(scene, rng) for scene in scenes]
    elif kind < REFERENCE_SHARE + CONTROL_SHARE:
        shown = encoded.controls[chosen].float()
    if shown.shape[1]:
        positions = torch.cat([positions, reference_positions()])
    text = text_states(learner, captions)
    normal = torch.sigmoid(torch.randn(len(chosen), generator=noise_rng))
    sigma = SHIFT * normal / (1 + (SHIFT - 1) * normal)
    noise = torch.randn(clean.shape, generator=noise_rng)
    mixed = torch.lerp(clean, noise, sigma.view(-1, 1, 1))
    predict = learner.predict if not shown.shape[1] else learner.eager
    made = predict(torch.cat([mixed, shown], dim=1), sigma, text, positions, text_positions())
    return (made[:, : clean.shape[1]] - (noise - clean)).square().mean()


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


def reference_positions() -> Tensor:
    """(16, 4): rows and columns of a 64 px reference picture, at the pipeline's first time for references."""
    line = torch.arange(SIDES[0] // 16).float()
    return torch.cartesian_prod(torch.tensor([10.0]), line, line, torch.zeros(1))


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
