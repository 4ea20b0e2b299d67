"""Model architectures that the engine knows."""
