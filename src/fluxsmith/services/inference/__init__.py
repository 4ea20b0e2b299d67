"""Pictures drawn with models."""

from fluxsmith.services.inference.schema import Generation, GenerationRequest, Output
from fluxsmith.services.inference.service import REQUEST_MODERATED, InferenceService
from fluxsmith.services.inference.upsampling import upsample

__all__ = [
    "REQUEST_MODERATED",
    "Generation",
    "GenerationRequest",
    "InferenceService",
    "Output",
    "upsample",
]
