"""Whether a stranger's file is a LoRA that a base model can wear, told from its header and its numbers.

Imports no torch and loads nothing into a model, so that a web process can refuse an upload at once. The
safetensors library checks the container (lengths, offsets, types); here is what it means as a LoRA: which
key layout, which modules, whether their shapes are the base's, and whether every number is finite.
Layouts are those that diffusers' `Flux2LoraLoaderMixin` reads; the names are in its
`lora_conversion_utils`. What it would silently drop is refused here.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError, safe_open

from fluxsmith.engine.folder import ModelFolder, weight_files
from fluxsmith.engine.lora_names import Layout, layout_of, modules_named
from fluxsmith.errors import ValidationError

FIELD = "file"
MOST_HEADER_BYTES = 16_000_000  # a LoRA of every module of the largest model has a few hundred thousand
CHUNK_NUMBERS = 4_000_000
PEFT_METADATA = "lora_adapter_metadata"

_EXPONENTS: dict[str, tuple[str, int]] = {
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F32": ("<u4", 0x7F80_0000),
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
}
"""Number types that a LoRA may have: how to read one as an integer, and its exponent's bits. A number whose
exponent is all ones is infinite or not a number."""
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_OTHERS = {b"GGUF": "a GGUF file", b"<!DO": "a web page", b"<htm": "a web page", b"{": "a JSON file"}
_FOREIGN = {
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    "hada_": "a LoHa (LyCORIS)",
    "lokr_": "a LoKr (LyCORIS)",
    "oft_": "an OFT",
    "lora_mid": "a LoCon with a middle matrix",
    "lora_te": "a LoRA of the text encoder as well",
    "text_encoder": "a LoRA of the text encoder as well",
}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LoraFile:
    """What a checked file holds.

    Args:
        rank: the largest of its pairs of matrices.
        modules: how many linear modules of the base it changes.
        layout: how its keys are named: `diffusers`, `bfl` or `kohya`.
        metadata: what its maker wrote into its header.
    """

    rank: int
    modules: int
    layout: Layout
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class _Entry:
    dtype: str
    shape: Shape
    begin: int
    end: int


def inspect_lora(path: Path, base: ModelFolder) -> LoraFile:
    """Check that a file is a whole LoRA for a base model.

    Args:
        path: the file; its name does not matter.
        base: the model that it is said to be for.

    Raises:
        ValidationError: `lora-unsafe` (a pickle), `lora-damaged`, `lora-truncated`, `not-a-lora`,
            `lora-unsupported` (a kind or a layout that nobody here reads), `lora-mismatch` (made for
            another model) or `lora-not-finite`.
        EngineError: the base's own weights are missing or damaged.
    """
    entries, metadata, data_at = _header(path)
    layout = _layout(entries)
    pairs = _pairs(entries, layout)
    shapes = _linear_shapes(base)
    for module, (down, up) in pairs.items():
        _check_fits(module, down, up, layout, shapes, base)
    _check_settings(metadata, {down[0] for down, _ in pairs.values()})
    _check_finite(path, entries, data_at)
    return LoraFile(max(down[0] for down, _ in pairs.values()), len(pairs), layout, metadata)


def _header(path: Path) -> tuple[dict[str, _Entry], dict[str, str], int]:
    """All tensors by key, the metadata, and where the data begin."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= MOST_HEADER_BYTES:
            _refuse_other_format(start)
        if length > size - 8:
            _refuse(
                "lora-truncated",
                f"The file is cut off within its header: it has {size:,} of at least {8 + length:,} bytes.",
                "Copy or download it again.",
            )
        raw = file.read(length)
    try:
        with safe_open(path, framework="np"):  # checks types, shapes, offsets and that no byte is left over
            pass
    except (SafetensorError, OSError) as error:
        _refuse_damaged(raw, size - 8 - length, str(error))
    header: dict[str, Any] = json.loads(raw)
    metadata = header.pop("__metadata__", None) or {}
    entries = {
        key: _Entry(one["dtype"], tuple(one["shape"]), *one["data_offsets"]) for key, one in header.items()
    }
    return entries, metadata, 8 + length


def _refuse_other_format(start: bytes) -> NoReturn:
    """Say what a file is that does not begin with the length of a header."""
    if start.startswith(_PICKLES):
        _refuse(
            "lora-unsafe",
            "This is not a safetensors file but a pickle (.pt, .ckpt, .bin), which can run code when loaded.",
            "Convert it to safetensors where you trust it.",
        )
    for mark, what in _OTHERS.items():
        if start.startswith(mark):
            _refuse("lora-damaged", f"This is not a safetensors file but {what}.")
    _refuse("lora-damaged", "This is not a safetensors file: its header has an impossible length.")


def _refuse_damaged(raw: bytes, data_bytes: int, why: str) -> NoReturn:
    try:
        ends = [one["data_offsets"][1] for key, one in json.loads(raw).items() if key != "__metadata__"]
        promised = max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        promised = 0
    if isinstance(promised, int) and promised > data_bytes:
        _refuse(
            "lora-truncated",
            f"The file is cut off: it has {data_bytes:,} of {promised:,} bytes of matrices.",
            "Copy or download it again.",
        )
    reason = why.removeprefix("Error while deserializing header: ")[:200]
    _refuse("lora-damaged", f"The file is damaged: {reason}.", "Copy or download it again.")


def _layout(entries: Mapping[str, _Entry]) -> Layout:
    for key in entries:
        for mark, what in _FOREIGN.items():
            if mark in key:
                _refuse(
                    "lora-unsupported",
                    f"This is {what} (it holds {_shown(key)}), which cannot be used here.",
                    "Export a plain LoRA of the transformer from the tool that made it.",
                )
    if not any("lora" in key for key in entries):
        _refuse(
            "not-a-lora",
            f"This is not a LoRA: none of its {len(entries):,} tensors is a LoRA's matrix.",
            "Choose the file that the training tool calls the LoRA, not a model or its optimizer.",
        )
    layout = layout_of(entries)
    if layout is None:
        _refuse(
            "lora-unsupported",
            f"Its keys have a layout that is not known here, such as {_shown(next(iter(entries)))}.",
            "Known are diffusers' layout (transformer.…), BFL's and ai-toolkit's (diffusion_model.…) and "
            "kohya's (lora_unet_…).",
        )
    return layout


def _pairs(entries: Mapping[str, _Entry], layout: Layout) -> dict[str, tuple[Shape, Shape]]:
    """The shapes of the two matrices of each module, by the module's name in the file."""
    halves: dict[str, dict[str, Shape]] = {}
    for key, entry in entries.items():
        module, part = layout.split(key)
        if part is None:
            _refuse(
                "lora-unsupported",
                f"It holds {_shown(key)}, which is no part of a LoRA in {layout.title}.",
                "Export a plain LoRA of the transformer from the tool that made it.",
            )
        if entry.dtype not in _EXPONENTS:
            _refuse(
                "lora-unsupported",
                f"{_shown(key)} has numbers of type {entry.dtype}; a LoRA has {', '.join(_EXPONENTS)}.",
                "Export it in another precision.",
            )
        if part != "alpha":
            halves.setdefault(module, {})[part] = entry.shape
        elif math.prod(entry.shape) != 1:
            _refuse("lora-damaged", f"{_shown(key)} is not one number.")
    pairs: dict[str, tuple[Shape, Shape]] = {}
    for module, found in halves.items():
        down, up = found.get("down", ()), found.get("up", ())
        if not len(down) == len(up) == 2 or down[0] != up[1] or not all((*down, *up)):
            _refuse(
                "lora-damaged",
                f"The matrices of {_shown(module)} do not belong together: {_size(down)} and {_size(up)}.",
                "Export it again from the tool that made it.",
            )
        pairs[module] = (down, up)
    if not pairs:
        _refuse("not-a-lora", "This is not a LoRA: it holds no pair of matrices.")
    return pairs


def _linear_shapes(base: ModelFolder) -> dict[str, Shape]:
    """(out, in) of every linear module of the base's transformer, from the headers of its files."""
    shapes: dict[str, Shape] = {}
    for file in weight_files(base, "transformer"):
        with safe_open(file, framework="np") as opened:
            for key in opened.keys():  # noqa: SIM118 - not a mapping
                shape = tuple(opened.get_slice(key).get_shape())
                if key.endswith(".weight") and len(shape) == 2:
                    shapes[key.removesuffix(".weight")] = shape
    return shapes


def _check_fits(
    module: str, down: Shape, up: Shape, layout: Layout, shapes: Mapping[str, Shape], base: ModelFolder
) -> None:
    names = modules_named(module, layout)
    wanted = [shapes[name] for name in names if name in shapes]
    if not names or len(wanted) < len(names):
        _refuse(
            "lora-mismatch",
            f"This LoRA was made for another model: it changes {_shown(module)}, which '{base.name}' lacks.",
            "Import it with the base model that it was trained on.",
        )
    rows, columns = sum(shape[0] for shape in wanted), wanted[0][1]
    if (up[0], down[1]) != (rows, columns):
        _refuse(
            "lora-mismatch",
            f"This LoRA was made for a model of another size: its {_shown(module)} is for a matrix of "
            f"{up[0]:,} × {down[1]:,}, and that of '{base.name}' has {rows:,} × {columns:,}.",
            "Import it with the base model that it was trained on.",
        )


def _check_settings(metadata: Mapping[str, str], ranks: set[int]) -> None:
    """Refuse settings for peft that a plain LoRA has no use for: they would be obeyed when it is loaded."""
    if PEFT_METADATA not in metadata:
        return
    try:
        given = json.loads(metadata[PEFT_METADATA])
        settings = {str(key).removeprefix("transformer."): value for key, value in given.items()}
    except (ValueError, AttributeError, RecursionError):
        _refuse("lora-damaged", f"Its {PEFT_METADATA} are not an object in JSON.")
    for name, value in settings.items():
        allowed = _SETTINGS.get(name, _is_empty)
        if not allowed(value):
            _refuse(
                "lora-unsupported",
                f"Its {PEFT_METADATA} set {_shown(name)} to {str(value)[:40]!a}, which is not allowed here.",
                "Export a plain LoRA of the transformer from the tool that made it.",
            )
    if not settings.get("rank_pattern") and settings.get("r") is not None and {settings["r"]} != ranks:
        _refuse("lora-damaged", f"Its {PEFT_METADATA} say rank {settings['r']}, its matrices another.")


def _is_empty(value: object) -> bool:
    return value in (None, False, "", "none", 0) or value == [] or value == {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_numbers(value: object) -> bool:
    return isinstance(value, dict) and all(_is_number(number) for number in value.values())


_SETTINGS = {
    "r": lambda value: _is_number(value) and value == int(value) > 0,
    "lora_alpha": lambda value: _is_number(value) and value > 0,
    "lora_dropout": _is_number,
    "target_modules": _are_names,
    "rank_pattern": _are_numbers,
    "alpha_pattern": _are_numbers,
    "use_rslora": lambda value: isinstance(value, bool),
    "init_lora_weights": lambda value: value in (True, False, "gaussian"),
    "peft_type": lambda value: value == "LORA",
    "inference_mode": lambda value: isinstance(value, bool),
    "base_model_name_or_path": _is_text,
    "revision": _is_text,
    "task_type": _is_text,
    "peft_version": _is_text,
}
"""Fields of peft's `LoraConfig` that may say something; all others must be empty."""


def _check_finite(path: Path, entries: Mapping[str, _Entry], data_at: int) -> None:
    with path.open("rb") as file:
        for key, entry in entries.items():
            kind, exponent = _EXPONENTS[entry.dtype]
            file.seek(data_at + entry.begin)
            for bits in _chunks(file, kind, entry):
                if np.any((bits & exponent) == exponent):
                    _refuse(
                        "lora-not-finite",
                        f"{_shown(key)} holds numbers that are infinite or not numbers at all (NaN): "
                        "its training went wrong, and its pictures would be black.",
                        "Use an earlier checkpoint, or train again at a lower rate.",
                    )


def _chunks(file: Any, kind: str, entry: _Entry) -> Iterator[Any]:
    left = (entry.end - entry.begin) // np.dtype(kind).itemsize
    while left > 0:
        bits = np.fromfile(file, dtype=kind, count=min(left, CHUNK_NUMBERS))
        yield bits
        left -= len(bits) or left


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 100 else f"{name[:99]}…")


def _size(shape: Shape) -> str:
    return " × ".join(f"{side:,}" for side in shape) or "none"


def _refuse(code: str, message: str, hint: str = "Choose a LoRA as .safetensors.") -> NoReturn:
    raise ValidationError(code, message, hint=hint, field=FIELD)
