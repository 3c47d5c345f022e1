"""How many processors this process may use: what a container's quota leaves, not what the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

#: Where the quota of the own control group stands (cgroup v2, then v1).
CGROUP = Path("/sys/fs/cgroup")


def usable_processors(cgroup: Path = CGROUP) -> int:
    """Whole processors, at least one: the quota rounded up, never more than those that this process may run on."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Processors that the control group grants; None where it sets no bound or cannot be read."""
    try:
        granted, _, period = (cgroup / "cpu.max").read_text().partition(" ")
        return None if granted == "max" else int(granted) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        granted = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
        period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        return int(granted) / int(period) if int(granted) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
