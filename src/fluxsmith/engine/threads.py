"""How torch's threads wait for each other; to be called before torch is imported.

By default OpenMP's threads spin at the end of every small operation. As soon as another program wants
a core, each of them then waits for a whole time slice: training was ten times slower beside one busy
process. Waiting asleep costs microseconds on a quiet machine.
"""

from __future__ import annotations

import os


def wait_asleep() -> None:
    """Let OpenMP's threads sleep while they wait; of no effect once torch has been imported."""
    os.putenv("OMP_WAIT_POLICY", "passive")
