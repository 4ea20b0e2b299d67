"""What fluxsmith does, one folder a subject; each is schema, repository and service."""
