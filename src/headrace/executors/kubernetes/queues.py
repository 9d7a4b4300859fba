"""What Kueue says of the pods and groups that wait in its queues. Pure; see ``reasons`` for the form of its texts.

Kueue has a Workload for each pod, or group of pods, that is in a queue; its conditions say why it waits, and why it had
to go. Source: https://kueue.sigs.k8s.io/docs/concepts/workload/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.executors.kubernetes.client import Kind
from headrace.executors.kubernetes.reasons import Reason

WORKLOAD = Kind("kueue.x-k8s.io/v1beta2", "Workload")
_EVICTIONS = {
    "Preempted": "was preempted by Kueue, for a workload of higher priority or whose quota it had borrowed",
    "PodsReadyTimeout": "was taken back by Kueue, since its pods were not ready in time",
    "ClusterQueueStopped": "was taken back by Kueue, since its cluster queue was stopped",
    "LocalQueueStopped": "was taken back by Kueue, since its queue was stopped",
    "Deactivated": "was deactivated in Kueue",
}
_MORE = re.compile(r"insufficient unused quota for (\S+) in flavor (\S+), (\S+) more needed")
_NEVER = re.compile(r"insufficient quota for (\S+) in flavor (\S+), .*request \((\S+)\) > maximum capacity \((\S+)\)")
_LONGEST = 300


def owners_of(workload: Mapping[str, Any]) -> Iterator[str]:
    """The names of the objects that a workload stands for: pods, or the object of a group."""
    for one in workload["metadata"].get("ownerReferences") or ():
        yield str(one.get("name") or "")


def reason_of_workload(workload: Mapping[str, Any]) -> Reason | None:
    """Why what a workload stands for waits, or had to go; None: it may run."""
    spec, status = workload.get("spec") or {}, workload.get("status") or {}
    conditions = {str(one.get("type")): one for one in status.get("conditions") or () if isinstance(one, Mapping)}
    queue = str(spec.get("queueName") or "")
    if spec.get("active") is False:
        return Reason("is deactivated in Kueue", False, "queue")
    evicted = conditions.get("Evicted", {})
    if evicted.get("status") == "True":
        said = _EVICTIONS.get(str(evicted.get("reason")).partition("DueTo")[0])
        return Reason(said or f"was taken back by Kueue: {_plain(str(evicted.get('message')))}", True, "cluster")
    if conditions.get("Admitted", {}).get("status") == "True":
        return None
    reserved = conditions.get("QuotaReserved", {})
    text = f"waits in queue {queue!r} of Kueue"
    if reserved.get("status") == "True":
        checks = [str(one.get("name")) for one in status.get("admissionChecks") or () if one.get("state") != "Ready"]
        return Reason(f"{text} for its checks {', '.join(checks)}" if checks else text, False, "queue")
    why = _why(str(reserved.get("message") or ""))
    return Reason(f"{text}: {why}" if why else text, False, "queue")


def _why(message: str) -> str:
    """Kueue's message in plain words."""
    found = [
        *[f"its quota has too little {what} left in flavor {flavor} ({more} more needed)"
          for what, flavor, more in _MORE.findall(message)],
        *[f"its quota never has so much {what} in flavor {flavor} ({asked} asked for, {most} at most)"
          for what, flavor, asked, most in _NEVER.findall(message)],
    ]  # fmt: skip
    if found:
        return "; ".join(dict.fromkeys(found))
    missing = re.match(r"LocalQueue (\S+) (?:doesn't|does not) exist", message)
    if missing:
        return "the namespace has no such queue (LocalQueue)"
    absent = re.match(r"ClusterQueue (\S+) (?:doesn't|does not) exist", message)
    if absent:
        return f"its cluster queue {absent[1]} does not exist"
    return _plain(message)


def _plain(message: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in message).split()).rstrip(" .")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
