"""The process that carries out jobs."""
