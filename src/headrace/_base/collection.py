"""Python's collector of cyclic garbage, while many modules are imported.

Imports make tens of thousands of objects that stay, and no garbage; looking through them again and again took a
tenth of the time of a small run.
"""

from __future__ import annotations

import gc


class CollectionPaused:
    """A ``with`` block in which no garbage is collected; for imports of this package, and never around a fork.

    A process that has switched collection off keeps it off.
    """

    __slots__ = ("_was_on",)

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._was_on:
            if not gc.get_freeze_count():  # of the user's
                gc.freeze()  # what is new counts as old, without a look at each object
                gc.unfreeze()
            gc.enable()
