"""How often the kernel has killed for want of memory, as far as it tells us.

Read before and after a child's life: if the number grew, memory was the reason.
"""

from __future__ import annotations

from pathlib import Path

_COUNTERS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
    Path("/proc/vmstat"),
)


def memory_kills() -> int:
    """The sum of the readable `oom_kill` counters; 0 where there are none."""
    return sum(_counter(path) for path in _COUNTERS)


def _counter(path: Path) -> int:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    fields = [line.split() for line in lines]
    return sum(int(field[1]) for field in fields if len(field) == 2 and field[0] == "oom_kill")
