"""Finetunes: started, followed, ended."""

from fluxsmith.services.finetuning.schema import Finetune, FinetuneRequest, Quote
from fluxsmith.services.finetuning.service import FinetuningService

__all__ = ["Finetune", "FinetuneRequest", "FinetuningService", "Quote"]
