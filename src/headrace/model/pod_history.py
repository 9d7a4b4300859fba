"""What became of a pod in which attempts of a run were made: its node, and what Kubernetes said of it."""

# Annotations are objects here, not texts, which msgspec would evaluate one by one when it makes a decoder.

import msgspec

#: Events of a pod that are kept, and characters of each.
MOST_EVENTS, LONGEST_EVENT = 24, 300


class PodEvent(msgspec.Struct, frozen=True, array_like=True):
    """Something that happened to a pod, in plain words; ``count`` times, at last at ``time`` (since the epoch)."""

    time: float
    text: str
    count: int = 1


class PodHistory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pod of ``place``. ``created`` is in seconds since the epoch; ``events`` are in their order, the oldest first.

    ``node`` is empty while no node has been chosen.
    """

    place: str
    pod: str
    node: str = ""
    image: str = ""
    created: float = 0.0
    events: tuple[PodEvent, ...] = ()
