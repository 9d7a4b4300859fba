"""What a future answers to code that takes it for its value: an error that names ``.result()``.

Without it ``future[0]`` raises an error that does not help, ``future == 1`` is False, and ``if future:`` is true.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

from headrace.model.errors import CallError

#: Compared with one of these, a future was meant as its value.
_VALUES = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset)
_BINARY = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "or", "xor"),
    *("radd", "rsub", "rmul", "rmatmul", "rtruediv", "rfloordiv", "rmod", "rpow", "rand", "ror", "rxor"),
    *("lt", "le", "gt", "ge", "getitem", "contains"),
)
_PROBLEMS = {
    "getitem": "cannot be indexed or looped over",
    "contains": "cannot be searched with `in`",
    "len": "has no length",
    "bool": "is neither true nor false",
    "int": "is not a number",
    "float": "is not a number",
}
_UNARY = ("neg", "pos", "abs", "invert", "int", "float", "len")


class ValueGuard:
    """Base class of ``Future``: operators and unknown attributes raise. Type checkers see none of these methods."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            kind = type(self).__name__
            if name.startswith("__"):  # Python, pickle or a library asks what the object can do
                raise AttributeError(f"{kind!r} object has no attribute {name!r}")
            raise AttributeError(f"{kind!r} object has no attribute {name!r}: {_advice(self)}")

        def __eq__(self, other: object) -> Any:
            if isinstance(other, _VALUES):
                raise CallError(f"a future was compared with {type(other).__name__!r}: {_advice(self)}")
            return self is other or NotImplemented

        __hash__ = object.__hash__


def _advice(future: object) -> str:
    return f"{future!r} is not its value yet; call .result() to wait for the value, or pass the future on to a step"


def _refusing(name: str) -> Any:
    operator = name[1:] if name[0] == "r" and name[1:] in _BINARY else name
    problem = _PROBLEMS.get(name) or f"does not support the operator `{operator}`"

    def method(self: ValueGuard, *_: object) -> NoReturn:
        raise CallError(f"a future {problem}: {_advice(self)}")

    method.__name__ = f"__{name}__"
    return method


def _truth(self: ValueGuard) -> bool:
    """Whether there is one, for ``asyncio``: since Python 3.12 it asks that of the coroutine of a task it describes."""
    if sys._getframe(1).f_globals.get("__name__") == "asyncio.base_tasks":
        return True
    return bool(_refusing("bool")(self))


for _name in _BINARY + _UNARY:
    setattr(ValueGuard, f"__{_name}__", _refusing(_name))
setattr(ValueGuard, "__bool__", _truth)  # noqa: B010 - type checkers see none of these
