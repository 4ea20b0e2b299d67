"""The HTTP edge: BFL's API, our own, files and health."""
