"""fluxsmith: a self-hosted studio and server for finetuning FLUX image models."""

__version__ = "0.1.0"
