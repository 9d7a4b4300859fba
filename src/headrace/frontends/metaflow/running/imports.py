"""What the steps of a flow import inside of their functions, read from their code without running any of it.

It is a hint to the executor, which imports installed ones once, ahead, instead of in every task. Those of the user's
own are imported by a step as it comes to them, and ahead only when one was found to take long.
"""

from __future__ import annotations

import opcode
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from headrace._base.usercode import find_user_module, is_user_module

_LOAD_CONST, _IMPORT_NAME = opcode.opmap["LOAD_CONST"], opcode.opmap["IMPORT_NAME"]
#: Functions that are looked at for one step.
_MOST = 200


def imports_of(cls: Any) -> dict[str, tuple[list[str], list[str]]]:
    """Installed modules and the user's own by step, in the code's order, as far as they are not imported yet."""
    return {name: _by_owner(_names(cls, function)) for name, function in cls._steps.items()}


def _names(cls: Any, step: Any) -> Iterator[str]:
    for code in _reached(cls, step):
        yield from (name for name in _imported(code) if name not in sys.modules)


def _by_owner(names: Iterator[str]) -> tuple[list[str], list[str]]:
    installed: list[str] = []
    own: list[str] = []
    for name in dict.fromkeys(names):
        (own if find_user_module(name) else installed).append(name)
    return installed, own


def _reached(cls: Any, step: Any) -> Iterator[CodeType]:
    """The code of a step, of other methods of its class, and of the user's functions that these name."""
    functions, seen = [step], {id(step)}
    for one in functions:
        function = one
        while hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        if not hasattr(function, "__code__") or len(functions) > _MOST:
            continue
        codes = [function.__code__]
        for code in codes:
            yield code
            codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
            for name in code.co_names:
                for found in (function.__globals__.get(name), getattr(cls, name, None)):
                    if id(found) not in seen and _is_helper(found):
                        seen.add(id(found))
                        functions.append(found)


def _is_helper(found: Any) -> bool:
    """Whether it is a function of the user's, and not a step, which is a task of its own."""
    return isinstance(found, FunctionType) and not getattr(found, "is_step", False) and is_user_module(found.__module__)


def _imported(code: CodeType) -> Iterator[str]:
    """The modules that import statements of ``code`` name; what ``from`` takes of one may be a module too."""
    constants: list[Any] = [None, None]
    more = 0
    for at in range(0, len(code.co_code), 2):
        op, argument = code.co_code[at], code.co_code[at + 1] | more
        more = argument << 8 if op == opcode.EXTENDED_ARG else 0
        if op == _LOAD_CONST:
            constants = [constants[1], code.co_consts[argument]]
        elif op == _IMPORT_NAME and constants[0] == 0:  # else it is relative, so the user's own
            module = code.co_names[argument]
            yield module
            for name in constants[1] or ():
                if name.islower():
                    yield f"{module}.{name}"
