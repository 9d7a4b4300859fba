"""In which order the gangs of a run ask for their pods, and when one gives back what it has. Pure.

A gang needs all its pods at once, and a cluster gives them one by one: two gangs that hold a part of its nodes each
would wait for each other for ever. So the gangs of a run ask one after the other, oldest first, the next one when there
is room for all pods of those before it. Gangs of other runs are not known. Therefore one that holds some pods and lacks
room for the others for a while gives all of them back, and asks again after a pause whose length is left to chance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from headrace.model.workers import GangSeat

#: A gang that nobody asks for any more is forgotten after so many seconds.
_FORGOTTEN = 120.0
#: The longest pause, in those of the first time.
_LONGEST = 4


class Room(NamedTuple):
    """The pods of a kind: ``whole``: all that are waited for have a node; ``held``: there are some that have one, or
    that work; ``lacking``: there is no room for others.
    """

    whole: bool
    held: bool
    lacking: bool


class Member(Protocol):
    """A member of a gang, which wants a worker."""

    #: Whether it has its worker.
    is_there: bool


M = TypeVar("M", bound=Member)


class GivenBack(msgspec.Struct, Generic[M], frozen=True):
    """A gang is to give back what it has, and asks again in ``pause`` seconds; ``late``: it has tried for too long."""

    kind: str
    members: list[M]
    late: bool
    pause: float


class _Gang(Generic[M]):
    """A gang that has never been complete. Its members are other ones in each round."""

    def __init__(self, kind: str, step: str, size: int, now: float) -> None:
        self.key = kind, step, size
        self.round = 0
        self.members: dict[M, None] = {}
        self.asked: set[M] = set()
        self.first: float | None = None  # when it asked first
        self.stuck: float | None = None  # since when it holds pods and lacks room for others
        self.tries = 0
        self.pause = now  # until when it does not ask
        self.away = now  # since when it has no members

    @property
    def kind(self) -> str:
        return self.key[0]

    @property
    def is_complete(self) -> bool:
        return len(self.members) == self.key[2] and all(one.is_there for one in self.members)

    def has_room(self, room: Room) -> bool:
        """Whether all its pods have a node."""
        return self.is_complete or (
            len(self.members) == self.key[2] and self.members.keys() == self.asked and room.whole
        )


class GangTurns(Generic[M]):
    """See the module. A gang gives back what it has when it lacked room for ``patience`` seconds; it does not ask again
    after ``timeout``. ``chance`` gives numbers from 0 to 1, and ``room_of`` says what there is of a kind of pods.
    """

    def __init__(
        self, patience: float, timeout: float, chance: Callable[[], float], room_of: Callable[[str], Room]
    ) -> None:
        self._patience = patience
        self._timeout = timeout
        self._chance = chance
        self._room_of = room_of
        self._gangs: list[_Gang[M]] = []  # that are not complete, oldest first
        self._of: dict[M, _Gang[M]] = {}

    def enlist(self, member: M, kind: str, step: str, seat: GangSeat, now: float) -> None:
        """A member of a gang wants a worker; ``admitted`` says when it may ask for it."""
        gang = next((one for one in self._gangs if one.members and one.round == seat.round), None)
        if gang is None:
            key = kind, step, seat.size
            gang = next((one for one in self._gangs if not one.members and one.key == key), None)
            if gang is None:
                gang = _Gang(kind, step, seat.size, now)
                self._gangs.append(gang)
            gang.round = seat.round
        gang.members[member] = None
        self._of[member] = gang

    def leave(self, member: M, now: float) -> None:
        """A member wants no worker any more, or has lost its own."""
        gang = self._of.pop(member, None)
        if gang is not None:
            del gang.members[member]
            gang.asked.discard(member)
            gang.away = now

    def waits(self, member: M) -> bool:
        """Whether it is not the turn of a member yet."""
        gang = self._of.get(member)
        return gang is not None and member not in gang.asked

    def admitted(self, now: float) -> list[M]:
        """The members whose turn it is to ask for their workers; each is told once."""
        self._forget(now)
        found: list[M] = []
        for gang in self._gangs:
            if gang.pause > now:
                break
            if not gang.members:
                continue
            new = [one for one in gang.members if one not in gang.asked]
            gang.first = now if gang.first is None else gang.first
            gang.asked.update(new)
            found += new
            if new or not gang.has_room(self._room_of(gang.kind)):
                break
        return found

    def given_back(self, now: float) -> GivenBack[M] | None:
        """The gang that is to give back what it has; to be called about twice in a second."""
        self._forget(now)
        stuck: list[_Gang[M]] = []
        for gang in self._gangs:
            if gang.pause > now or (gang.members and not gang.asked):
                continue
            room = self._room_of(gang.kind)
            if gang.has_room(room) or not (room.held or any(one.is_there for one in gang.members)):
                gang.stuck = None
            elif gang.stuck is None and room.lacking:
                gang.stuck = now
            if gang.stuck is not None and now - gang.stuck >= self._patience:
                stuck.append(gang)
        if not stuck:
            return None
        for one in self._gangs:
            one.stuck = None  # what the youngest gives back may be what the others lack
        return self._give_back(stuck[-1], now)

    def _give_back(self, gang: _Gang[M], now: float) -> GivenBack[M]:
        gang.tries += 1
        pause = self._chance() * 2 * self._patience * min(gang.tries, _LONGEST)
        gang.pause = now + pause
        late = gang.first is not None and now - gang.first >= self._timeout
        return GivenBack(gang.kind, list(gang.members), late, pause)

    def _forget(self, now: float) -> None:
        """Gangs that are complete, and those that are not asked for any more, take no part."""
        done = [
            one
            for one in self._gangs
            if one.is_complete or (not one.members and now - max(one.away, one.pause) > _FORGOTTEN)
        ]
        for gang in done:
            self._gangs.remove(gang)
            for member in gang.members:
                del self._of[member]
