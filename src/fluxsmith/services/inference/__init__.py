"""Pictures drawn with models."""

from fluxsmith.services.inference.schema import Generation, GenerationRequest, Output
from fluxsmith.services.inference.service import InferenceService

__all__ = ["Generation", "GenerationRequest", "InferenceService", "Output"]
