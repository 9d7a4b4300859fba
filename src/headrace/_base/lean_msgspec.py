"""msgspec, imported without ``typing_extensions``; import this module before others import msgspec.

Where ``typing_extensions`` is installed, msgspec takes ``Required``, ``NotRequired`` and ``get_type_hints`` from it,
else from ``typing``, which has the same since Python 3.11. That package imports ``inspect``, ``ast``, ``dis`` and
``tokenize``: together they take a twentieth of the time of a small run.
"""

from __future__ import annotations

import sys
import threading

_HIDDEN = "typing_extensions"


class _Hides:
    """The first of the finders of modules, which stops the thread that made it from finding ``typing_extensions``."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Leave every module to the finders after this one, but for the hidden one in this thread.

        Raises:
            ModuleNotFoundError: this thread asks for the hidden one.
        """
        if name == _HIDDEN and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is hidden from msgspec", name=name)


def _import() -> None:
    hides = _Hides()
    sys.meta_path.insert(0, hides)
    try:
        import msgspec  # noqa: F401
    finally:
        sys.meta_path.remove(hides)


if sys.version_info >= (3, 11) and not {"msgspec", _HIDDEN} & sys.modules.keys():
    _import()
