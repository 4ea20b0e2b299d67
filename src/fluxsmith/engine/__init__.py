"""The trainer and the sampler: torch, no web, no database."""
