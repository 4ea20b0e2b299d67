"""Loads the parts of a folder of weights, strictly: safetensors only, and every tensor accounted for.

diffusers and transformers fill what a file lacks with random numbers and a warning; here that is an
error, since nobody wants a finetune of noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from safetensors import SafetensorError

from fluxsmith.engine.folder import ModelFolder, damaged, missing, weight_files
from fluxsmith.errors import EngineError

_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError)


def load_part(kind: Any, folder: ModelFolder, part: str, dtype: torch.dtype) -> Any:
    """Load a model of diffusers from a subfolder.

    Raises:
        EngineError: `weights-missing` or `weights-damaged`.
    """
    weight_files(folder, part)
    try:
        model, info = kind.from_pretrained(
            folder.path / part,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except _UNREADABLE as error:
        raise _unreadable(folder, part, error) from error
    _all_there(folder, part, info)
    return model


def load_text_encoder(folder: ModelFolder, dtype: torch.dtype) -> Any:
    """Load the text encoder, `Qwen3ForCausalLM`.

    Raises:
        EngineError: `weights-missing` or `weights-damaged`.
    """
    from transformers import Qwen3ForCausalLM
    from transformers.utils import logging

    weight_files(folder, "text_encoder")
    logging.disable_progress_bar()
    try:
        model, info = Qwen3ForCausalLM.from_pretrained(
            folder.path / "text_encoder",
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except _UNREADABLE as error:
        raise _unreadable(folder, "text_encoder", error) from error
    _all_there(folder, "text_encoder", info)
    return model


def load_tokenizer(folder: ModelFolder) -> Any:
    """Load the tokenizer with its chat template.

    Raises:
        EngineError: `weights-missing` or `weights-damaged`.
    """
    from transformers import AutoTokenizer

    path = folder.path / "tokenizer"
    if not path.is_dir():
        raise missing(path)
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except _UNREADABLE as error:
        raise damaged(path, str(error)) from error


def load_scheduler(kind: Any, folder: ModelFolder) -> Any:
    """Load the scheduler's numbers.

    Raises:
        EngineError: `weights-missing` or `weights-damaged`.
    """
    path = folder.path / "scheduler"
    if not path.is_dir():
        raise missing(path)
    try:
        return kind.from_pretrained(path, local_files_only=True)
    except _UNREADABLE as error:
        raise damaged(path, str(error)) from error


def _all_there(folder: ModelFolder, part: str, info: dict[str, Iterable[Any]]) -> None:
    absent = [*info.get("missing_keys", ()), *info.get("mismatched_keys", ()), *info.get("error_msgs", ())]
    if absent:
        raise damaged(folder.path / part, f"{len(absent)} tensors are missing or misshapen, as {absent[0]}")


def _unreadable(folder: ModelFolder, part: str, error: Exception) -> Exception:
    """Memory that ran out while loading is no damage: such an error goes through as it is."""
    if isinstance(error, EngineError) or "allocate" in str(error).lower():
        return error
    return damaged(
        folder.path / part, str(error).strip().splitlines()[0] if str(error) else type(error).__name__
    )
