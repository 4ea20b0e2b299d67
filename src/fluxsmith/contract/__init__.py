"""The shapes on the wire: BFL's API as pydantic models."""
