"""The messages between a driver and a worker elsewhere, across the connections that they have one after the other.

Each side counts the messages that it sent and those that arrived. What the peer has not acknowledged is kept, and sent
again on the next connection: so each message arrives once, however often the connection breaks. Heartbeats carry the
acknowledgements and are not counted themselves.
"""

from __future__ import annotations

from collections import deque

#: Bytes that may arrive before they are acknowledged without waiting for the next heartbeat.
ACKNOWLEDGE_AFTER = 1 << 20


class MessageStream:
    """One side of it. ``received`` is how many messages arrived."""

    __slots__ = ("_acknowledged", "_sent", "_unacknowledged", "received")

    def __init__(self) -> None:
        self._sent: deque[bytes] = deque()  # frames that the peer has not acknowledged
        self._acknowledged = 0  # how many came before these
        self._unacknowledged = 0  # bytes that arrived since the last acknowledgement
        self.received = 0

    def sent(self, data: bytes) -> None:
        """Keep the frame ``data``, which is sent now or with the next connection."""
        self._sent.append(data)

    def arrived(self, size: int) -> None:
        """Count a message of ``size`` bytes."""
        self.received += 1
        self._unacknowledged += size

    def owes(self) -> bool:
        """Whether so much has arrived that the peer should be told now."""
        return self._unacknowledged >= ACKNOWLEDGE_AFTER

    def acknowledgement(self) -> int:
        """What to tell the peer in a heartbeat."""
        self._unacknowledged = 0
        return self.received

    def acknowledged(self, count: int) -> None:
        """Forget what the peer has: ``count`` messages since the beginning.

        Raises:
            ValueError: so many were never sent, or it had more before.
        """
        new = count - self._acknowledged
        if not 0 <= new <= len(self._sent):
            raise ValueError(f"acknowledges {count} messages of {self._acknowledged + len(self._sent)}")
        for _ in range(new):
            self._sent.popleft()
        self._acknowledged = count

    def unacknowledged(self) -> tuple[bytes, ...]:
        """The frames to send again."""
        return tuple(self._sent)
