"""Gangs in pods: no member begins before all have their pods, and all then know where the first one is.

The engine sends the attempts of a gang when there is room for them. Their pods may have to be made first, so where the
first member will be is not known yet: ``GangStarts.promise`` names it by a text in place of its address. A link holds
the attempts that have such a text, until every member of the gang has its worker.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from headrace.model.messages import Execute, GangNode, ToWorker

_PROMISED = "promised:"


class Member(Protocol):
    """The link of a worker that holds an attempt of a gang."""

    #: Whether it has its worker.
    is_there: bool

    def release(self, messages: Sequence[ToWorker]) -> None:
        """Send what was held."""


class GangStarts:
    """Which gangs wait for their pods. ``address_of`` says where a member that is there can be reached by others."""

    def __init__(self, address_of: Callable[[Member], str]) -> None:
        self._address_of = address_of
        self._numbers = itertools.count(1)
        self._promised: dict[Member, str] = {}  # for first members of gangs that wait
        self._held: dict[str, dict[Member, list[ToWorker]]] = {}
        self._gang_of: dict[Member, str] = {}

    def promise(self, first: Member) -> str:
        """What stands for the address of the first member of a gang until all are there."""
        if first not in self._promised:
            self._promised[first] = f"{_PROMISED}{next(self._numbers)}"
        return self._promised[first]

    def hold(self, member: Member, messages: Sequence[ToWorker]) -> bool:
        """Keep messages for a member whose gang waits, until ``arrived`` finds all there; False: they may be sent."""
        name = self._gang_of.get(member, "")
        for one in messages:
            if isinstance(one, Execute) and one.gang is not None and one.gang.address.startswith(_PROMISED):
                name = one.gang.address
        if not name:
            return False
        self._gang_of[member] = name
        self._held.setdefault(name, {}).setdefault(member, []).extend(messages)
        return True

    def arrived(self, member: Member) -> None:
        """A member has its worker now, or holds an attempt now."""
        name = self._gang_of.get(member)
        if name is not None:
            self._begin(name, _size_of(self._held[name][member]))

    def gone(self, member: Member) -> None:
        """A link is over; what it holds is not sent any more."""
        self._promised.pop(member, None)
        name = self._gang_of.pop(member, None)
        if name is not None:
            held = self._held[name]
            held.pop(member, None)
            if not held:
                del self._held[name]

    def _begin(self, name: str, size: int) -> None:
        held = self._held[name]
        if len(held) < size or not all(one.is_there for one in held):
            return
        del self._held[name]
        first = next(one for one, messages in held.items() if _rank_of(messages) == 0)
        self._promised.pop(first, None)
        address = self._address_of(first)
        for one, messages in held.items():
            del self._gang_of[one]
            one.release([_with_address(message, address) for message in messages])


def _node_of(messages: Sequence[ToWorker]) -> GangNode | None:
    return next((one.gang for one in messages if isinstance(one, Execute) and one.gang is not None), None)


def _size_of(messages: Sequence[ToWorker]) -> int:
    node = _node_of(messages)
    return 0 if node is None else node.size


def _rank_of(messages: Sequence[ToWorker]) -> int:
    node = _node_of(messages)
    return -1 if node is None else node.rank


def _with_address(message: ToWorker, address: str) -> ToWorker:
    if isinstance(message, Execute) and message.gang is not None:
        return msgspec.structs.replace(message, gang=msgspec.structs.replace(message.gang, address=address))
    return message
