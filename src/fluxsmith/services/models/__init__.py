"""Models that can be drawn with: base models of the providers and finetuned LoRAs."""

from fluxsmith.services.models.publishing import PublishGuide, name_for
from fluxsmith.services.models.schema import ImportRequest, LinkRequest, Model
from fluxsmith.services.models.service import ModelService

__all__ = ["ImportRequest", "LinkRequest", "Model", "ModelService", "PublishGuide", "name_for"]
