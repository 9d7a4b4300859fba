"""Python's collector of cyclic garbage, while many objects are made that stay.

Imports and large values make up to millions of objects and hardly any garbage. Looking through them again and again
took a tenth of the time of a small run, and half of the time in which a value of many small objects is loaded.
"""

from __future__ import annotations

import gc

#: More than Python 3.12 begins with, and less than ``gc.freeze`` of the user's leaves.
_FROZEN_BY_USER = 1000


class CollectionPaused:
    """A ``with`` block in which no garbage is collected; never around a fork.

    A process that has switched collection off keeps it off.
    """

    __slots__ = ("_was_on",)

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._was_on:
            gc.enable()


class CollectionPausedForImports(CollectionPaused):
    """The same around imports of this package, whose objects stay until the process ends."""

    __slots__ = ()

    def __exit__(self, *_: object) -> None:
        if self._was_on:
            if gc.get_freeze_count() < _FROZEN_BY_USER:
                gc.freeze()  # what is new counts as old, without a look at each object
                gc.unfreeze()
            gc.enable()
