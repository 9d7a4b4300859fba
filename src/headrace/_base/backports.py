"""What Python 3.10, on which workers may run, lacks of the standard library of 3.11."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 11):
    from builtins import BaseExceptionGroup, ExceptionGroup
    from contextlib import chdir
    from enum import StrEnum
else:
    import contextlib
    import os
    from collections.abc import Iterator
    from enum import Enum

    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

    class StrEnum(str, Enum):
        """An enumeration whose members are texts."""

        __str__ = str.__str__
        __format__ = str.__format__

    @contextlib.contextmanager
    def chdir(path: str | os.PathLike[str]) -> Iterator[None]:
        """Have another working directory meanwhile."""
        before = os.getcwd()  # noqa: PTH109
        os.chdir(path)
        try:
            yield
        finally:
            os.chdir(before)


__all__ = ["BaseExceptionGroup", "ExceptionGroup", "StrEnum", "add_note", "chdir"]


def add_note(error: BaseException, note: str) -> None:
    """Add a line to what is shown of an exception."""
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        error.__notes__ = [*getattr(error, "__notes__", []), note]
