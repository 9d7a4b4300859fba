"""How many cores a process may use."""

from __future__ import annotations

import math
import os

_ROOT = "/sys/fs/cgroup"


def usable_cores(groups: str = "/proc/self/cgroup", root: str = _ROOT) -> float:
    """Cores that this process may use: those that it may run on, as far as its control groups let it use them.

    A container with a limit of half a core sees all of its machine, runs at full speed for half of each tenth of a
    second, and stands still for the other half if it goes on.

    Args:
        groups: the file that names the control groups of this process.
        root: the folder with all of them.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files (``cpu.max``), and for version 1
    https://docs.kernel.org/scheduler/sched-bwc.html (``cpu.cfs_quota_us``).
    """
    shares = [_share_of(folder, version) for version, folder in _folders(groups, root)]
    return min(float(len(os.sched_getaffinity(0))), *shares)


def _folders(groups: str, root: str) -> list[tuple[int, str]]:
    """The control groups that bound this process, with their version. What a container sees as the root is its own."""
    tops = {1: f"{root}/cpu", 2: root}
    found = list(tops.items())
    for line in _read(groups).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers or "cpu" in controllers.split(","):
            version = 1 if controllers else 2
            parts = [one for one in path.split("/") if one not in ("", "..")]
            found += [(version, "/".join([tops[version], *parts[:end]])) for end in range(1, len(parts) + 1)]
    return found


def _share_of(folder: str, version: int) -> float:
    """The cores that a control group allows; infinite: all."""
    if version == 2:
        quota, _, period = _read(f"{folder}/cpu.max").partition(" ")
    else:
        quota = _read(f"{folder}/cpu.cfs_quota_us")
        period = _read(f"{folder}/cpu.cfs_period_us") if quota else ""
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return math.inf
    return share if share > 0 else math.inf  # -1: all


def _read(file: str) -> str:
    try:
        with open(file) as opened:  # noqa: PTH123
            return opened.read()
    except (OSError, ValueError):
        return ""
