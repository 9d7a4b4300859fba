"""What drivers outside of the cluster left in a namespace when they were killed, and no session of their run came back.

Their pods end by themselves when no driver has come for a while, but nobody deletes them, nor the secret that they
joined with: it owns nothing and nothing owns it. The next driver of any run in the namespace does both. A driver that
lives deletes pods as soon as they end, so one that ended long ago has none.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from headrace._base import logs
from headrace.executors.kubernetes.client import AsyncClusterClient, ClusterError, Json, Kind, delete_options
from headrace.executors.kubernetes.manifests import DOMAIN, JOIN_VOLUME

_log = logs.Log("kubernetes")
_POD, _SECRET = Kind("v1", "Pod"), Kind("v1", "Secret")
#: Seconds after its end that a pod is kept, for a driver that cannot reach the API server at the moment.
LEFT = 3600.0
#: Labels and phases of pods that a driver may have left: all but those that run and those of its own run.
_OURS = f"app.kubernetes.io/managed-by=headrace,{DOMAIN}/session,{DOMAIN}/key!="
_OVER = "status.phase!=Running,status.phase!=Pending"


async def reap(client: AsyncClusterClient, namespace: str, key: str, now: float | None = None) -> None:
    """Delete what dead drivers of other runs than that of ``key`` left. ``now``: seconds since 1970."""
    params = {"labelSelector": f"{_OURS}{key}", "fieldSelector": _OVER, "limit": 500}
    try:
        found = (await client.request("GET", _POD.path(namespace), None, params)).get("items") or []
        by_key: dict[str, list[Json]] = {}
        for pod in found:
            if is_left(pod, time.time() if now is None else now):
                by_key.setdefault(pod["metadata"]["labels"][f"{DOMAIN}/key"], []).append(pod)
        for other, pods in by_key.items():
            await _reap_run(client, namespace, other, pods)
    except ClusterError as error:  # the next driver does it
        _log.debug("leftovers.kept", f"what dead drivers left cannot be deleted: {error.message}")


def is_left(pod: Mapping[str, Any], now: float) -> bool:
    """Whether a pod that is over has no driver any more, nor an owner with which it goes."""
    if pod["metadata"].get("ownerReferences") or f"{DOMAIN}/key" not in (pod["metadata"].get("labels") or {}):
        return False
    states = [one.get("state") or {} for one in (pod.get("status") or {}).get("containerStatuses") or ()]
    ended = [(one.get("terminated") or {}).get("finishedAt") for one in states]
    made = pod["metadata"]["creationTimestamp"]
    return all(_seconds(one or made) < now - LEFT for one in ended or [made])


def _seconds(text: str) -> float:
    """A time of the API as seconds since 1970; 0 where there is none."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


async def _reap_run(client: AsyncClusterClient, namespace: str, key: str, pods: list[Json]) -> None:
    """Delete the pods of a run, and their secret unless a session has come meanwhile that needs it."""
    names = {pod["metadata"]["name"] for pod in pods}
    for secret in _secrets(pods):
        path = _SECRET.path(namespace, secret)
        try:  # a change of nothing, since reading is a right that drivers do not have
            there = await client.request("PATCH", path, {}, content="application/merge-patch+json")
        except ClusterError as error:
            if error.code != 404:
                raise
            continue
        others = await client.request("GET", _POD.path(namespace), None, {"labelSelector": f"{DOMAIN}/key={key}"})
        alive = {one["metadata"]["name"] for one in others.get("items") or ()} - names
        about = there["metadata"]
        if alive or (about.get("labels") or {}).get(f"{DOMAIN}/session") not in _sessions(pods):
            continue
        exactly = {"uid": about["uid"], "resourceVersion": about["resourceVersion"]}
        await client.request("DELETE", path, {**delete_options(None), "preconditions": exactly})
    for name in sorted(names):
        await client.request("DELETE", _POD.path(namespace, name), delete_options(0))
    _log.info("leftovers.deleted", f"{len(names)} pods of a run whose driver was killed are deleted", pods=len(names))


def _secrets(pods: Iterable[Json]) -> set[str]:
    volumes = [one for pod in pods for one in pod["spec"].get("volumes") or () if one["name"] == JOIN_VOLUME]
    return {one["secret"]["secretName"] for one in volumes if "secret" in one}


def _sessions(pods: Iterable[Json]) -> set[str]:
    return {pod["metadata"]["labels"][f"{DOMAIN}/session"] for pod in pods}
