"""Messages arrive once and in order, wherever connections break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.worker.message_stream import ACKNOWLEDGE_AFTER, MessageStream


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.booleans()), max_size=30))
def test_messages_arrive_once_and_in_order_wherever_connections_break(turns: list[tuple[int, int, bool]]) -> None:
    ours, theirs = MessageStream(), MessageStream()
    said, arrived = 0, []
    wire: list[bytes] = []
    for new, passing, breaks in turns:
        for _ in range(new):
            wire.append(b"%d" % said)
            ours.sent(wire[-1])
            said += 1
        for data in wire[:passing]:
            theirs.arrived(len(data))
            arrived.append(data)
        wire = wire[passing:]
        if breaks:
            ours.acknowledged(theirs.received)
            wire = list(ours.unacknowledged())
        elif passing % 2:
            ours.acknowledged(theirs.acknowledgement())
    ours.acknowledged(theirs.received)
    assert [*arrived, *ours.unacknowledged()] == [b"%d" % n for n in range(said)]


@pytest.mark.parametrize("count", [-1, 1, 4])
def test_impossible_acknowledgement_is_refused(count: int) -> None:
    stream = MessageStream()
    for _ in range(3):
        stream.sent(b"x")
    stream.acknowledged(2)
    with pytest.raises(ValueError, match=f"acknowledges {count} messages of 3"):
        stream.acknowledged(count)


def test_many_bytes_are_acknowledged_before_the_next_heartbeat() -> None:
    stream = MessageStream()
    stream.arrived(ACKNOWLEDGE_AFTER - 1)
    assert not stream.owes()
    stream.arrived(1)
    assert stream.owes()
    assert stream.acknowledgement() == 2
    assert not stream.owes()
