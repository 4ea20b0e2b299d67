"""Models that can be drawn with: base models of the providers and finetuned LoRAs."""

from fluxsmith.services.models.schema import LinkRequest, Model
from fluxsmith.services.models.service import ModelService

__all__ = ["LinkRequest", "Model", "ModelService"]
