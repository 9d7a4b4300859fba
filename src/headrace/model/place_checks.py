"""What a look at a place found."""

from __future__ import annotations

import msgspec


class PlaceCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried. ``ok`` None: it could not be, or is not needed. ``advice`` says what to do, and
    ``grant`` is the YAML that does it.
    """

    name: str
    ok: bool | None
    text: str
    advice: str = ""
    grant: str = ""
