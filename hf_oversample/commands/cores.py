"""How many threads a process computes on: the cores that it may use, however they are limited."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def free_cores(cgroup: Path = CGROUP) -> int:
    """
    Cores that this process may use: those it is bound to, or fewer where its control group (a
    container's limit) grants less time.

    Args:
        cgroup: where the kernel shows the group's limits, version 2 or 1.

    Returns:
        At least 1.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota(cgroup)
    return max(1, min(bound or 1, bound or 1 if quota is None else math.ceil(quota)))


def let_threads_sleep() -> None:
    """
    Threads that wait for one another sleep, unless OMP_WAIT_POLICY says otherwise. It is read once,
    when torch is loaded: call this before.

    Spinning, as they do by default, they spend their turns on a busy machine's cores, and processor
    time on a free one's, on waiting: `benchmarks/contention.py`.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_free_cores() -> int:
    """
    Let torch compute on the cores that are free, shared among this machine's processes; returns the
    number of threads. OMP_NUM_THREADS, which launchers set, is left as it is.
    """
    let_threads_sleep()
    import torch  # seconds

    if not os.environ.get("OMP_NUM_THREADS"):
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, free_cores() // processes))
    return int(torch.get_num_threads())


def _quota(cgroup: Path) -> float | None:
    """Cores' worth of time that the group grants; None where it sets no limit."""
    try:
        if (cgroup / "cpu.max").is_file():  # version 2: "quota period", or "max period"
            given, period = (cgroup / "cpu.max").read_text().split()[:2]
            return None if given == "max" else int(given) / int(period)
        given = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
        period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
    except OSError:  # no control groups here, as on other systems than Linux
        return None
    return None if int(given) <= 0 else int(given) / int(period)
