"""Long texts on one line of a listing: how they begin, and how long they are."""

from __future__ import annotations

#: Characters of an error that stand in a line about it; its traceback holds the whole message.
ERROR_LINE = 500


def shorten(text: str, most: int) -> str:
    """``text``, or where it has more than ``most`` characters its beginning and its length.

    The result has at most ``most`` characters and ends with ``… (5,000,000 characters)`` if it was cut.
    """
    if len(text) <= most:
        return text
    end = f"… ({len(text):,} characters)"
    return text[: max(0, most - len(end))].rstrip() + end
