"""Gangs that wait for their pods: who gets its attempt when, and what it is told of the first member."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from headrace.executors.kubernetes.gangs import GangStarts, Member
from headrace.model.messages import Execute, GangNode, Stop, ToWorker


class Link:
    def __init__(self, name: str) -> None:
        self.name = name
        self.is_there = False
        self.sent: list[ToWorker] = []

    def release(self, messages: Sequence[ToWorker]) -> None:
        self.sent += messages


def address_of(link: Member) -> str:
    assert isinstance(link, Link)
    return f"address of {link.name}"


def execute(rank: int, size: int, address: str) -> Execute:
    return Execute(rank, 1, f"train/1/fit/{rank}", 1, (), (), 0, b"", GangNode(rank, size, address), 0)


def send(starts: GangStarts, first: Link, link: Link, rank: int, size: int) -> None:
    """As the executor does it."""
    assert starts.hold(link, [execute(rank, size, starts.promise(first)), Stop()])
    starts.arrived(link)


@given(st.data(), st.integers(2, 5))
def test_no_member_begins_before_all_have_their_workers(data: st.DataObject, size: int) -> None:
    starts = GangStarts(address_of)
    links = [Link(str(rank)) for rank in range(size)]
    steps = [("send", one) for one in range(size)] + [("attach", one) for one in range(size)]
    for done, (what, rank) in enumerate(data.draw(st.permutations(steps)), start=1):
        if what == "send":
            send(starts, links[0], links[rank], rank, size)
        else:
            links[rank].is_there = True
            starts.arrived(links[rank])
        assert all(bool(one.sent) is (done == len(steps)) for one in links)
    for one in links:
        begun, stop = one.sent
        assert isinstance(begun, Execute)
        assert begun.gang is not None
        assert (begun.gang.address, stop) == ("address of 0", Stop())


def test_members_that_are_gone_are_not_waited_for_by_the_next_round() -> None:
    starts = GangStarts(address_of)
    kept, lost, new = Link("kept"), Link("lost"), Link("new")
    send(starts, kept, kept, 0, 2)
    send(starts, kept, lost, 1, 2)
    starts.gone(lost)
    starts.gone(kept)  # the engine ends the round
    assert not kept.sent
    for one in (kept, new):
        one.is_there = True
    send(starts, kept, kept, 0, 2)
    send(starts, kept, new, 1, 2)
    assert kept.sent
    assert new.sent
    assert not lost.sent


def test_other_messages_pass() -> None:
    starts = GangStarts(address_of)
    link = Link("one")
    assert not starts.hold(link, [Stop()])
    assert not starts.hold(link, [execute(0, 2, "10.0.0.1")])
    starts.arrived(link)
    assert not link.sent
