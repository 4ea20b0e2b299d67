"""The shapes on the wire: BFL's API, of 2025 and of today, as pydantic models.

`inputs` and `inputs_today` are what is sent, `answers` what comes back, `endpoints` the table that says
which path takes which. Nothing here does anything: our server and our client both stand on it.
Source: BFL's own OpenAPI of May 2025 for the former, BFL's API reference of 2026 for the latter.
"""
