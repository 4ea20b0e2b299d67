"""How the keys of FLUX.2's LoRA files are named, and which modules of diffusers' transformer they mean.

Source: `_convert_non_diffusers_flux2_lora_to_diffusers` and `_convert_kohya_flux2_lora_to_diffusers` in
diffusers' `lora_conversion_utils`. BFL's blocks keep queries, keys and values in one matrix, diffusers'
double blocks in three.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_DOUBLE = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_mlp.0": ("ff.linear_in",),
    "img_mlp.2": ("ff.linear_out",),
    "txt_mlp.0": ("ff_context.linear_in",),
    "txt_mlp.2": ("ff_context.linear_out",),
}
_SINGLE = {"linear1": ("attn.to_qkv_mlp_proj",), "linear2": ("attn.to_out",)}
_AROUND = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_guidance_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_guidance_embed.timestep_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
_BFL_ONLY = {  # kohya's converter does not know these
    "guidance_in.in_layer": "time_guidance_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_guidance_embed.guidance_embedder.linear_2",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
    "single_stream_modulation.lin": "single_stream_modulation.linear",
    "double_stream_modulation_img.lin": "double_stream_modulation_img.linear",
    "double_stream_modulation_txt.lin": "double_stream_modulation_txt.linear",
}
_EXPANDED = {
    "single_transformer_blocks.": "single_transformer_blocks.",
    "transformer_blocks.": "transformer_blocks.",
    "sformer_blocks.": "transformer_blocks.",
}
_BLOCK = re.compile(r"(double_blocks|single_blocks)\.(\d{1,4})\.(.+)")
_KOHYA_BLOCK = re.compile(r"(double_blocks|single_blocks)_(\d{1,4})_(.+)")


@dataclass(frozen=True)
class Layout:
    """One way of naming keys: prefixes, and the endings of the two matrices and of alpha."""

    name: str
    title: str
    prefixes: tuple[str, ...]
    parts: Mapping[str, str]

    def split(self, key: str) -> tuple[str, str | None]:
        """A key's module and its part: `down`, `up` or `alpha`; None if it is none of this layout's."""
        prefix = next((one for one in self.prefixes if key.startswith(one)), None)
        ending = next((one for one in self.parts if key.endswith(one)), None)
        if prefix is None or ending is None:
            return key, None
        return key.removeprefix(prefix).removesuffix(ending), self.parts[ending]


_PEFT_PARTS = {".lora_A.weight": "down", ".lora_B.weight": "up"}
DIFFUSERS = Layout("diffusers", "diffusers' layout", ("transformer.",), _PEFT_PARTS)
BFL = Layout("bfl", "BFL's layout", ("diffusion_model.", "base_model.model."), _PEFT_PARTS)
KOHYA = Layout(
    "kohya",
    "kohya's layout",
    ("lora_unet_",),
    {".lora_down.weight": "down", ".lora_up.weight": "up", ".alpha": "alpha"},
)
_LAYOUTS = (DIFFUSERS, BFL, KOHYA)


def layout_of(keys: Iterable[str]) -> Layout | None:
    """The layout that the first key has; None if it has none."""
    first = next(iter(keys), "")
    return next((layout for layout in _LAYOUTS if layout.split(first)[1] is not None), None)


def modules_named(module: str, layout: Layout) -> tuple[str, ...]:
    """The modules of diffusers' transformer that one of a file's stands for; empty if for none.

    Args:
        module: its name in the file, without prefix and ending.
        layout: the file's.
    """
    if layout is DIFFUSERS:
        return (module,)
    if layout is KOHYA:
        return _in_block(_KOHYA_BLOCK.fullmatch(module), "_") or _around(module, "_", _AROUND)
    for alias, prefix in _EXPANDED.items():
        if module.startswith(alias):
            return (prefix + module.removeprefix(alias),)
    return _in_block(_BLOCK.fullmatch(module), ".") or _around(module, ".", _AROUND | _BFL_ONLY)


def _in_block(match: re.Match[str] | None, separator: str) -> tuple[str, ...]:
    if match is None:
        return ()
    kind, number, inner = match.groups()
    double = kind == "double_blocks"
    table: Mapping[str, tuple[str, ...]] = _DOUBLE if double else _SINGLE
    block = f"{'transformer_blocks' if double else 'single_transformer_blocks'}.{int(number)}"
    for name, modules in table.items():
        if name.replace(".", separator) == inner:
            return tuple(f"{block}.{one}" for one in modules)
    return ()


def _around(module: str, separator: str, table: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(found for name, found in table.items() if name.replace(".", separator) == module)
