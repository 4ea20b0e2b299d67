"""The HTTP edge: BFL's API, our own, files and health.

A route parses, calls one service method and shapes the answer; `app` puts all of them together.
"""
