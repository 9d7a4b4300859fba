"""What this machine has."""

from __future__ import annotations

import os

from headrace.model.policy import Resources


def machine() -> Resources:
    """What this machine has: cores we may use, memory, visible GPUs."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Resources(cpu=float(cores), memory=memory, gpu=_count_gpus())


def _count_gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    try:
        return sum(name.startswith("nvidia") and name[6:].isdigit() for name in os.listdir("/dev"))  # noqa: PTH208
    except OSError:
        return 0
