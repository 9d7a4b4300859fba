"""Standard streams that outlive their reader, for the time in which a flow runs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from headrace._base.process import is_unwritable


class Lasting:
    """A text stream that drops what cannot be written, because its reader has gone or the disk is full.

    A run goes on then, and what its flow prints is in its log all the same.
    """

    def __init__(self, original: Any) -> None:
        self._original = original

    def write(self, text: str) -> int:
        """Write ``text``, or drop it."""
        self._attempt(self._original.write, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write ``lines``, or drop them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is kept, or leave it."""
        self._attempt(self._original.flush)

    def _attempt(self, function: Callable[..., object], *args: str) -> None:
        try:
            function(*args)
        except (OSError, ValueError) as error:
            if not is_unwritable(error):
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """While entered, ``sys.stdout`` and ``sys.stderr`` raise nothing when they cannot be read."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Lasting(before[0]), Lasting(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
