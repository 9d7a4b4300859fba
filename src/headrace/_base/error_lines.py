"""An exception on one line, as summaries of attempts and runs show it."""

from __future__ import annotations

from headrace._base.backports import BaseExceptionGroup
from headrace._base.texts import ERROR_LINE, shorten


def error_line(error: BaseException) -> str:
    """What ``error`` is and how its message begins, without its notes; at most ``ERROR_LINE`` characters.

    A message of several lines begins with what happened to what, and goes on with details.
    """
    import traceback

    parts = traceback.format_exception_only(type(error), error)
    kind = type(error)
    at = 0
    if isinstance(error, SyntaxError):  # what is wrong stands below the line that is
        at = next((n for n, part in enumerate(parts) if part.partition(":")[0].endswith(kind.__qualname__)), 0)
    lines = [line.strip() for line in parts[at].splitlines() if line.strip()] or [kind.__qualname__]
    first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    if kind.__module__.startswith("headrace."):  # where a class of Headrace is found does not help
        first = first.replace(f"{kind.__module__}.{kind.__qualname__}", kind.__qualname__, 1)
    if isinstance(error, BaseExceptionGroup):
        from headrace._base.groups import members_line

        first = f"{first}: {members_line(error)}"
    return shorten(first, ERROR_LINE)
