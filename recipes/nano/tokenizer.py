"""Make nano's tokenizer: a `Qwen2Tokenizer` with a small vocabulary, and its chat template.

Byte-level BPE (Sennrich et al. 2016) trained on the recipe's own prompts and on the names of all icons, so
that known words are one token and any other text is still spelled out. The class sets its own normaliser
when it loads, so lower case is the chat template's work, as are the space before the first word and the
mark at the end, whose token has seen the whole prompt.
"""

from __future__ import annotations

import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from recipes.nano.captions import caption
from recipes.nano.icons import load_icons
from recipes.nano.scenes import random_scene
from recipes.nano.things import all_things
from recipes.nano.workplace import Workplace

VOCABULARY = 2048
SEQUENCE = 16
"""Tokens of a prompt. nano is trained with exactly this many: padding is not masked in the transformer."""
END, PAD = "<|im_end|>", "<|endoftext|>"
TEMPLATE = (
    "{% for message in messages %}{{ ' ' + (message['content'] | trim | lower) }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_end|>{% endif %}"
)


def make_tokenizer(work: Workplace) -> None:
    """Train the tokenizer and save it under `tokenizer/`."""
    if work.path("tokenizer", "tokenizer_config.json").exists():
        return
    trained = _train(_corpus(load_icons(work).names))
    tokenizer = Qwen2Tokenizer(
        vocab=trained.get_vocab(),
        merges=_merges(trained),
        eos_token=END,
        pad_token=PAD,
        unk_token=PAD,
        padding_side="right",
        model_max_length=SEQUENCE,
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(work.path("tokenizer"))
    work.log("tokenizer", words=len(tokenizer))


def _corpus(icon_names: list[str]) -> list[str]:
    """Prompts as in training, and every icon's name often enough to keep its common parts whole."""
    rng = random.Random(0)
    things = all_things()
    prompts = [" " + caption(random_scene(things, rng), rng) for _ in range(40_000)]
    names = [" " + name.replace("-", " ") for name in icon_names]
    words = [" " + word for thing in things for word in thing.words]
    return prompts + names * 3 + words * 30


def _train(corpus: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def _merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """The learned merges, which the library only shows in its file format."""
    import json

    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]
