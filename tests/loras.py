"""LoRA files for tests: good ones in every layout, and each way in which one can be bad. Loads no torch."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import load, save

Tensors = dict[str, Any]

DOUBLE, SINGLE = "transformer_blocks.0.attn", "single_transformer_blocks.0.attn"
WIDTH, FUSED, RANK = 32, 3 * 32 + 2 * 64, 2
"""Of the model `tiny`: width of its blocks, and of the matrix that its single block has in one."""


def tiny_lora(scale: float = 0.3) -> Tensors:
    """A LoRA of `tiny` in diffusers' layout."""
    numbers = np.random.default_rng(0)
    shapes = {f"{DOUBLE}.{name}": (WIDTH, WIDTH) for name in ("to_q", "to_k", "to_v", "to_out.0")}
    shapes[f"{SINGLE}.to_qkv_mlp_proj"] = (FUSED, WIDTH)
    tensors: Tensors = {}
    for module, (rows, columns) in shapes.items():
        down, up = numbers.normal(size=(RANK, columns)), numbers.normal(size=(rows, RANK))
        tensors[f"transformer.{module}.lora_A.weight"] = (down * scale).astype("float32")
        tensors[f"transformer.{module}.lora_B.weight"] = (up * scale).astype("float32")
    return tensors


def as_bfl(tensors: Tensors) -> Tensors:
    """The same in BFL's layout, queries, keys and values in one pair of three times the rank."""
    return {f"diffusion_model.{name}.weight": tensor for name, tensor in _fused(tensors).items()}


def as_kohya(tensors: Tensors, alpha: float) -> Tensors:
    """The same in kohya's layout, where `alpha` over the rank scales it; matrices are scaled against that."""
    named: Tensors = {}
    for name, tensor in _fused(tensors).items():
        module, _, half = name.rpartition(".")
        flat = f"lora_unet_{module.replace('.', '_')}"
        down = half == "lora_A"
        if down:
            named[f"{flat}.alpha"] = np.array(alpha, dtype="float32")
            tensor = tensor * (tensor.shape[0] / alpha)
        named[f"{flat}.{'lora_down' if down else 'lora_up'}.weight"] = tensor.astype("float32")
    return named


def _fused(tensors: Tensors) -> Tensors:
    """By BFL's names: `double_blocks.0.img_attn.qkv.lora_A` and so on."""
    bare = {name.removeprefix("transformer.").removesuffix(".weight"): one for name, one in tensors.items()}
    three = [f"{DOUBLE}.{name}" for name in ("to_q", "to_k", "to_v")]
    down = np.concatenate([bare[f"{name}.lora_A"] for name in three])
    up = np.zeros((3 * WIDTH, down.shape[0]), dtype="float32")
    rank = down.shape[0] // 3
    for number, name in enumerate(three):
        rows, columns = slice(number * WIDTH, (number + 1) * WIDTH), slice(number * rank, (number + 1) * rank)
        up[rows, columns] = bare[f"{name}.lora_B"]
    renamed = {
        f"{DOUBLE}.to_out.0": "double_blocks.0.img_attn.proj",
        f"{SINGLE}.to_qkv_mlp_proj": "single_blocks.0.linear1",
        f"{SINGLE}.to_out": "single_blocks.0.linear2",
    }
    fused: Tensors = {"double_blocks.0.img_attn.qkv.lora_A": down, "double_blocks.0.img_attn.qkv.lora_B": up}
    for old, new in renamed.items():
        if f"{old}.lora_A" in bare:
            fused |= {f"{new}.{half}": bare[f"{old}.{half}"] for half in ("lora_A", "lora_B")}
    return fused


def file_of(tensors: Tensors, **metadata: str) -> bytes:
    """A safetensors file."""
    return bytes(save(tensors, metadata or None))


def tensors_of(file: bytes) -> Tensors:
    """What a safetensors file holds."""
    return dict(load(file))


@dataclass(frozen=True)
class BadLora:
    """A file that is no usable LoRA of `tiny`: the code, and words that the refusal has."""

    name: str
    make: Callable[[], bytes]
    code: str
    words: str

    def __str__(self) -> str:
        return self.name


def _with(**changed: Any) -> bytes:
    """`tiny`'s LoRA with one matrix of the query changed."""
    tensors = tiny_lora()
    for half, tensor in changed.items():
        tensors[f"transformer.{DOUBLE}.to_q.lora_{half}.weight"] = np.asarray(tensor)
    return file_of(tensors)


def _renamed(old: str, new: str, tensors: Tensors | None = None) -> bytes:
    return file_of({name.replace(old, new): one for name, one in (tensors or tiny_lora()).items()})


def _half_missing() -> bytes:
    tensors = tiny_lora()
    del tensors[f"transformer.{DOUBLE}.to_q.lora_B.weight"]
    return file_of(tensors)


def _header(header: object, data: bytes = b"") -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def _torch_zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"lora": 1}))
    return packed.getvalue()


def _bad_number(kind: str, bits: int) -> bytes:
    """A matrix with one number of those bits, in a type that numpy may lack."""
    file = bytearray(file_of({name: one.astype("float16") for name, one in tiny_lora().items()}))
    length = struct.unpack("<Q", file[:8])[0]
    header = bytes(file[8 : 8 + length]).replace(b'"F16"', f'"{kind}"'.encode())
    start = 8 + len(header)
    body = bytearray(file[8 + length :])
    body[100:102] = struct.pack("<H", bits)
    return struct.pack("<Q", len(header)) + header + bytes(body) if start else b""


def _settings(**values: object) -> bytes:
    named = {f"transformer.{name}": value for name, value in values.items()}
    return file_of(tiny_lora(), lora_adapter_metadata=json.dumps(named))


_NAN = np.full((RANK, WIDTH), np.nan, dtype="float32")
_INFINITE = np.full((RANK, WIDTH), np.inf, dtype="float64")
_WHOLE = file_of(tiny_lora())

BAD_LORAS = (
    BadLora("empty", lambda: b"", "lora-damaged", "not a safetensors file"),
    BadLora("a few bytes", lambda: b"LoRA", "lora-damaged", "not a safetensors file"),
    BadLora("a pickle", lambda: pickle.dumps({"lora": b"x" * 64}), "lora-unsafe", "pickle"),
    BadLora("a torch checkpoint", _torch_zip, "lora-unsafe", "can run code when loaded"),
    BadLora("a web page", lambda: b"<!DOCTYPE html><title>Log in", "lora-damaged", "a web page"),
    BadLora("a gguf", lambda: b"GGUF" + bytes(60), "lora-damaged", "a GGUF file"),
    BadLora("cut off", lambda: _WHOLE[:-100], "lora-truncated", "cut off"),
    BadLora("cut off in its header", lambda: _WHOLE[:200], "lora-truncated", "cut off within its header"),
    BadLora("longer than it says", lambda: _WHOLE + b"\0" * 8, "lora-damaged", "not fully covered"),
    BadLora(
        "an endless header", lambda: struct.pack("<Q", 2**40) + b"{}", "lora-damaged", "impossible length"
    ),
    BadLora("a header that is no JSON", lambda: struct.pack("<Q", 9) + b"[" * 9, "lora-damaged", "damaged"),
    BadLora(
        "offsets that overlap",
        lambda: _header(
            {
                name: {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}
                for name in ("transformer.x.lora_A.weight", "transformer.x.lora_B.weight")
            },
            b"\0" * 4,
        ),
        "lora-damaged",
        "offset",
    ),
    BadLora("no tensors", lambda: _header({}), "not-a-lora", "not a LoRA"),
    BadLora("weights", lambda: file_of({"x_embedder.weight": np.ones((2, 2))}), "not-a-lora", "not a LoRA"),
    BadLora("an unknown layout", lambda: _renamed("transformer.", "net."), "lora-unsupported", "layout"),
    BadLora(
        "BFL's names with kohya's halves",
        lambda: _renamed("lora_A", "lora_down", as_bfl(tiny_lora())),
        "lora-unsupported",
        "layout",
    ),
    BadLora("a LoHa", lambda: _renamed("lora_A", "hada_w1_a"), "lora-unsupported", "LoHa"),
    BadLora("a DoRA", lambda: _renamed("lora_A.weight", "dora_scale"), "lora-unsupported", "DoRA"),
    BadLora(
        "a text encoder's",
        lambda: _renamed("transformer.", "text_encoder."),
        "lora-unsupported",
        "text encoder",
    ),
    BadLora("half of a pair", _half_missing, "lora-damaged", "do not belong together"),
    BadLora("another rank", lambda: _with(A=np.ones((5, WIDTH))), "lora-damaged", "do not belong together"),
    BadLora(
        "whole numbers", lambda: _with(A=np.ones((RANK, WIDTH), dtype="int8")), "lora-unsupported", "type I8"
    ),
    BadLora(
        "a wider model's",
        lambda: _with(A=np.ones((RANK, 3072)), B=np.ones((3072, RANK))),
        "lora-mismatch",
        "a model of another size: its 'transformer_blocks.0.attn.to_q' is for a matrix of 3,072 × 3,072",
    ),
    BadLora(
        "a deeper model's",
        lambda: _renamed("transformer_blocks.0", "transformer_blocks.9"),
        "lora-mismatch",
        "which 'tiny' lacks",
    ),
    BadLora(
        "an SDXL LoRA",
        lambda: file_of(
            {
                "lora_unet_down_blocks_0_attn.lora_down.weight": np.ones((RANK, WIDTH)),
                "lora_unet_down_blocks_0_attn.lora_up.weight": np.ones((WIDTH, RANK)),
            }
        ),
        "lora-mismatch",
        "made for another model",
    ),
    BadLora("not numbers", lambda: _with(A=_NAN), "lora-not-finite", "NaN"),
    BadLora("infinite numbers", lambda: _with(A=_INFINITE), "lora-not-finite", "infinite"),
    BadLora("bfloat16 that are none", lambda: _bad_number("BF16", 0x7FC0), "lora-not-finite", "NaN"),
    BadLora("halves that are infinite", lambda: _bad_number("F16", 0xFC00), "lora-not-finite", "infinite"),
    BadLora(
        "a way to start that costs", lambda: _settings(init_lora_weights="pissa"), "lora-unsupported", "pissa"
    ),
    BadLora(
        "modules beside", lambda: _settings(modules_to_save=["x"]), "lora-unsupported", "modules_to_save"
    ),
    BadLora("a rank that is not so", lambda: _settings(r=77, lora_alpha=1), "lora-damaged", "rank 77"),
)
