"""Pods of a run as attempts that ran in them show them."""

from __future__ import annotations

import msgspec

from headrace.model.pod_history import PodHistory
from headrace.model.records import POD, AttemptRecord, pod_owner
from headrace.model.workers import LOCAL
from headrace.stores.metadata.protocol import MetadataStore


class PodEventView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a pod, ``count`` times, at last at ``time``; ``text`` is a plain sentence about it."""

    time: float
    text: str
    count: int


class PodView(msgspec.Struct, frozen=True, kw_only=True):
    """A pod: the node that it is or was on, the image of its steps, what happened to it in its order."""

    name: str
    node: str
    image: str
    created: float
    events: list[PodEventView]


def pod_of(metadata: MetadataStore, attempt: AttemptRecord) -> PodView | None:
    """The pod in which an attempt is or was made; None where it was in none."""
    if not attempt.host or attempt.place == LOCAL:
        return None
    for one in metadata.artifacts(attempt.run_id, pod_owner(attempt.host.partition(" on ")[0])):
        if one.kind == POD and one.name == attempt.place:
            told = msgspec.msgpack.decode(one.value.inline, type=PodHistory)
            events = [PodEventView(time=event.time, text=event.text, count=event.count) for event in told.events]
            return PodView(name=told.pod, node=told.node, image=told.image, created=told.created, events=events)
    return None
