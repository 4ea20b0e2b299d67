"""The `fluxsmith` command: reads arguments, calls services, shows what came of it. No rules of its own.

Each command imports what it needs when it runs, so that `fluxsmith --help` answers at once.
"""

from fluxsmith.cli.app import main

__all__ = ["main"]
