"""The way of a LoRA from here to BFL's cloud, in words: BFL has no API for it, so a person walks it.

Page and shell show the same steps. Source: BFL's guide to finetunes of FLUX.2 [klein], 2026.
"""

from __future__ import annotations

import re
import shlex

from pydantic import BaseModel, ConfigDict

from fluxsmith.errors import UnsupportedError

DASHBOARD = "https://dashboard.bfl.ai"
_SIZE = re.compile(r"(?<![a-z0-9])(4b|9b)(?![a-z0-9])")


class PublishGuide(BaseModel):
    """How to draw with a LoRA of this server at BFL.

    Args:
        model_id: the LoRA here.
        file_name: what to call its file.
        remote_id: the name to choose there, which becomes its id.
        base: which of BFL's to link it to here.
        steps: what to do, in order.
        link_command: the last step, in the shell.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_id: str
    file_name: str
    remote_id: str
    base: str
    steps: tuple[str, ...]
    link_command: str


def guide_for(model_id: str, name: str, base_model: str, trigger_word: str) -> PublishGuide:
    """The guide for a LoRA whose file is here.

    Raises:
        UnsupportedError: BFL does not draw with LoRAs of that base.
    """
    base = base_model.lower()
    if "klein" not in base:
        raise UnsupportedError(
            "publish-unsupported",
            f"BFL draws with LoRAs of FLUX.2 [klein] only, and this one was trained on '{base_model}'.",
            hint="Put a folder of FLUX.2 [klein] Base into FLUXSMITH_MODELS_DIR and train on that.",
            field="finetune_id",
        )
    found = _SIZE.search(base)
    size = found.group(1) if found else "4b"
    remote_id = name_for(name)
    title = f"FLUX.2 [klein] {size.upper()}" if found else "the FLUX.2 [klein] that it was trained on"
    target = f"bfl/flux-2-klein-{size}"
    phrase = f", and '{trigger_word}' as its trigger phrase" if trigger_word else ""
    command = f"fluxsmith models link {remote_id} --base {target}"
    return PublishGuide(
        model_id=model_id,
        file_name=f"{remote_id}.safetensors",
        remote_id=remote_id,
        base=target,
        steps=(
            f"Have the LoRA as a file: {remote_id}.safetensors.",
            f"Open BFL's dashboard ({DASHBOARD}), and there Customization → Finetunes.",
            f"Upload the file. Choose {title} as its base and '{remote_id}' as its name{phrase}.",
            f"Set FLUXSMITH_BFL_API_KEY here, and link the id '{remote_id}' to {target}.",
        ),
        link_command=f"{command} --trigger-word {shlex.quote(trigger_word)}" if trigger_word else command,
    )


def name_for(words: str) -> str:
    """A name as BFL's page and our import take it, made from a title or a file's stem."""
    return re.sub(r"[^a-z0-9_]+", "-", words.lower()).strip("-_")[:100] or "lora"
