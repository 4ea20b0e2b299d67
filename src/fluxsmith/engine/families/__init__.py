"""Model architectures that the engine knows, by the name in a folder's `fluxsmith.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluxsmith.errors import EngineError

if TYPE_CHECKING:
    import torch

    from fluxsmith.engine.families.base import FamilyModel
    from fluxsmith.engine.folder import ModelFolder

KNOWN = ("flux2",)


def open_model(folder: ModelFolder, device: torch.device) -> FamilyModel:
    """Open a base model for training and drawing; weights are read when first needed.

    Raises:
        EngineError: its family is not known, or its weights are missing or damaged.
    """
    if folder.family not in KNOWN:
        raise EngineError(
            "family-unknown",
            f"The model '{folder.name}' is of the family '{folder.family}', which is not supported.",
            hint=f"Supported: {', '.join(KNOWN)}.",
        )
    from fluxsmith.engine.families.flux2 import Flux2Model

    return Flux2Model(folder, device)
