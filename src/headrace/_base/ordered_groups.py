"""Things in named groups, found without a walk over all of them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class OrderedGroups(Generic[T]):
    """Things that are each in some groups; all of them, and those of a group, in the order in which they were added.

    ``add``, ``discard`` and ``first`` take the same time however many things there are.
    """

    __slots__ = ("_groups_of", "_members")

    def __init__(self) -> None:
        self._groups_of: dict[T, tuple[str, ...]] = {}
        self._members: dict[str, dict[T, None]] = {}

    def add(self, thing: T, *groups: str) -> None:
        """Put a thing, which is not here yet, into groups."""
        groups = self._groups_of[thing] = tuple(dict.fromkeys(groups))
        for one in groups:
            self._members.setdefault(one, {})[thing] = None

    def discard(self, thing: T) -> None:
        """Take a thing away; nothing happens if it is not here."""
        for one in self._groups_of.pop(thing, ()):
            members = self._members[one]
            del members[thing]
            if not members:
                del self._members[one]

    def first(self, group: str) -> T | None:
        """The thing that has been in a group for longest; None if the group is empty."""
        return next(iter(self._members.get(group, ())), None)

    def of(self, group: str) -> Collection[T]:
        """The things in a group, as they are while this is walked over."""
        return self._members.get(group, {}).keys()

    def __iter__(self) -> Iterator[T]:
        return iter(self._groups_of)

    def __len__(self) -> int:
        return len(self._groups_of)

    def __contains__(self, thing: object) -> bool:
        return thing in self._groups_of
