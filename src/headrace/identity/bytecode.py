"""What a code object does, apart from how its source is laid out. Called by ``identity.fingerprint`` only.

The canonical form of a code object keeps instructions, constants, names and exception ranges. It leaves out
docstrings, line numbers, file names, and the no-ops that the compiler keeps so that a debugger may stop on a
line. It depends on the version of Python, as bytecode does.
"""

from __future__ import annotations

import marshal
import opcode
import sys
from bisect import bisect_left
from types import CodeType

import msgspec

_OPS = opcode.opmap
_CONST_OPS = frozenset(opcode.hasconst)
_JUMP_OPS = frozenset(opcode.hasjrel)
_BACKWARD_OPS = frozenset(code for name, code in _OPS.items() if "JUMP_BACKWARD" in name)
_EXTENDED_ARG = _OPS["EXTENDED_ARG"]
_NOP = _OPS["NOP"]
_IMPORT_NAME = _OPS["IMPORT_NAME"]
_LOAD_GLOBAL = _OPS["LOAD_GLOBAL"]
_LOAD_NAME_OPS = frozenset(_OPS[name] for name in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS") if name in _OPS)
_ATTRIBUTE_OPS = frozenset(_OPS[name] for name in ("LOAD_ATTR", "LOAD_METHOD") if name in _OPS)
# Since 3.12 the lowest bit of an attribute's index says whether it is called as a method. (LOAD_METHOD lives on there
# as a name of the compiler's own, which no code object contains.)
_ATTRIBUTE_SHIFT = 0 if sys.version_info < (3, 12) else 1
_STORE_NAME = _OPS["STORE_NAME"]
_BINDING_OPS = frozenset(_OPS[name] for name in ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR"))
_ON_ATTRIBUTES = frozenset({_OPS["STORE_ATTR"], _OPS["DELETE_ATTR"]})
_SINGLE_LOADS = frozenset(_OPS[name] for name in ("LOAD_FAST", "LOAD_FAST_BORROW") if name in _OPS)
#: Their lowest four bits say which variable is loaded last.
_PAIRED_LOADS = frozenset(code for name, code in _OPS.items() if name.endswith("LOAD_FAST") and name[:5] != "LOAD_")
_PAIRED_LOADS |= {_OPS[name] for name in ("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW") if name in _OPS}
_WATCHED = _CONST_OPS | _LOAD_NAME_OPS | _ATTRIBUTE_OPS | _BINDING_OPS
_WATCHED |= {_EXTENDED_ARG, _NOP, _IMPORT_NAME, _LOAD_GLOBAL, _STORE_NAME}
#: Functions that bind names which they are given as strings.
_BINDERS = (("setattr",), ("delattr",), ("globals",), ("vars",))
#: varargs, varkeywords and the kinds of generator and coroutine. Other flags say how the code was compiled.
_FLAGS = 0x4 | 0x8 | 0x20 | 0x80 | 0x100 | 0x200
_PLAIN = 2  # the last marshal format without references, whose bytes depend on the value alone


class Import(msgspec.Struct, frozen=True):
    """An import statement inside a function: ``from {dots}{name} import {names}``, or ``import {name}``."""

    name: str
    level: int
    names: tuple[str, ...]


class Reading(msgspec.Struct, frozen=True):
    """A code object, read; functions nested in it included.

    ``content`` is the canonical form; ``chains`` the globals it loads, each with the attributes taken from it
    at once (``("helpers", "clean")``), in order of appearance. ``stores`` are the names of globals and attributes that
    it binds or deletes, those of ``self`` apart.
    """

    content: bytes
    chains: tuple[tuple[str, ...], ...]
    imports: tuple[Import, ...]
    stores: frozenset[str] = frozenset()


def read_code(code: CodeType) -> Reading:
    """Read ``code`` and everything nested in it."""
    chains: dict[tuple[str, ...], None] = {}
    imports: dict[Import, None] = {}
    parts: list[bytes] = []
    stores: set[str] = set()
    _read(code, parts, chains, imports, stores)
    content = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
    return Reading(content, tuple(chains), tuple(imports), frozenset(stores))


def _read(
    code: CodeType,
    parts: list[bytes],
    chains: dict[tuple[str, ...], None],
    imports: dict[Import, None],
    stores: set[str],
) -> None:
    scan = _Scan(code)
    scan.run()
    stores |= scan.stores
    if any(chain in scan.chains for chain in _BINDERS):
        stores |= {one for one in code.co_consts if isinstance(one, str) and one.isidentifier()}
    chains.update(dict.fromkeys(scan.chains))
    imports.update(dict.fromkeys(scan.imports))
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _FLAGS)
    names = (counts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    parts += (marshal.dumps(names, _PLAIN), scan.instructions(), bytes(scan.uses), scan.exceptions())
    for index in scan.consts:
        constant = code.co_consts[index]
        if isinstance(constant, CodeType):
            parts.append(b"code" + constant.co_name.encode())
            _read(constant, parts, chains, imports, stores)
        else:
            parts.append(b"const" + marshal.dumps(constant, _PLAIN))


class _Scan:
    """One pass over the instructions of one code object."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.raw = bytearray(code.co_code)
        self.nops: list[int] = []
        self.consts: dict[int, int] = {}  # index -> rank of first use, so that an unused one (a docstring) is no part
        self.uses = bytearray()
        self.chains: list[tuple[str, ...]] = []
        self.imports: list[Import] = []
        self.stores: set[str] = set()

    def run(self) -> None:
        names, raw = self.code.co_names, self.raw
        extended = prefixes = 0
        chained = False
        loaded: list[object] = [0, None]  # the last two constants, which an import takes
        for unit, op in enumerate(self.code.co_code[::2]):
            if op not in _WATCHED:
                if op:  # 0 is an inline cache of the instruction before it
                    extended, prefixes, chained = 0, 0, False
                continue
            arg = raw[2 * unit + 1] | extended
            if op == _EXTENDED_ARG:
                extended, prefixes = arg << 8, prefixes + 1
                continue
            if op in _ATTRIBUTE_OPS:
                if chained:
                    self.chains[-1] = (*self.chains[-1], names[arg >> _ATTRIBUTE_SHIFT])
            else:
                chained = op == _LOAD_GLOBAL or op in _LOAD_NAME_OPS
                if chained:
                    self.chains.append((names[arg >> 1 if op == _LOAD_GLOBAL else arg],))
                elif op in _CONST_OPS:
                    self._const(arg, unit, prefixes)
                    loaded = [loaded[1], self.code.co_consts[arg]]
                else:
                    self._other(op, arg, unit, loaded)
            extended = prefixes = 0

    def _const(self, index: int, unit: int, prefixes: int) -> None:
        """Note the use of a constant by rank; its index, which a docstring shifts, is blanked."""
        rank = self.consts.setdefault(index, len(self.consts))
        self.uses += rank.to_bytes(4, "little")
        for position in range(unit - prefixes, unit + 1):
            self.raw[2 * position + 1] = 0

    def _other(self, op: int, arg: int, unit: int, loaded: list[object]) -> None:
        if op == _NOP:
            self.nops.append(unit)
        elif op in _BINDING_OPS:
            if op not in _ON_ATTRIBUTES or not self._is_of_self(unit):
                self.stores.add(self.code.co_names[arg])
        elif op == _IMPORT_NAME:
            level, names = loaded
            chosen = tuple(str(name) for name in names) if isinstance(names, tuple) else ()
            self.imports.append(Import(self.code.co_names[arg], level if isinstance(level, int) else 0, chosen))
        elif op == _STORE_NAME and self.code.co_names[arg] == "__doc__" and self.uses:
            # The docstring of a class inside a function: its constant was the last one loaded.
            rank = int.from_bytes(self.uses[-4:], "little")
            del self.uses[-4:]
            if rank == len(self.consts) - 1 and rank.to_bytes(4, "little") not in _quads(self.uses):
                self.consts.popitem()

    def _is_of_self(self, unit: int) -> bool:
        """Whether the attribute is one of ``self``: an instance's, which is not found by its class."""
        raw, unit = self.raw, unit - 1
        while unit > 0 and raw[2 * unit] == _EXTENDED_ARG:
            unit -= 1
        op, arg = raw[2 * unit], raw[2 * unit + 1]
        if op not in _SINGLE_LOADS and op not in _PAIRED_LOADS:
            return False
        index = arg if op in _SINGLE_LOADS else arg & 15
        return index == 0 and self.code.co_varnames[:1] == ("self",)

    def instructions(self) -> bytes:
        """The instructions as they would be without the no-ops: jumps shrink by those they leap over."""
        if not self.nops:
            return bytes(self.raw)
        out, nops, prefixes = bytearray(), self.nops, 0
        for unit in range(len(self.raw) // 2):
            op = self.raw[2 * unit]
            if op == _NOP:
                continue
            out += self.raw[2 * unit : 2 * unit + 2]
            if op == _EXTENDED_ARG:
                prefixes += 1
                continue
            if op in _JUMP_OPS:
                arg = int.from_bytes(bytes(out[-2 * prefixes - 1 :: 2]), "big")
                after = self._after(unit)
                target = after - arg if op in _BACKWARD_OPS else after + arg
                arg -= abs(bisect_left(nops, target) - bisect_left(nops, after))
                out[-2 * prefixes - 1 :: 2] = arg.to_bytes(prefixes + 1, "big")
            prefixes = 0
        return bytes(out)

    def _after(self, unit: int) -> int:
        """Where the instruction behind ``unit`` is, and behind its inline caches: jumps count from there."""
        unit += 1
        while 2 * unit < len(self.raw) and not self.raw[2 * unit]:
            unit += 1
        return unit

    def exceptions(self) -> bytes:
        """The exception table in the same terms: each handler's start, end, target, and depth."""
        ranges = bytearray()
        for start, length, target, depth in _exception_ranges(self.code.co_exceptiontable):
            for position in (start, start + length, target):
                ranges += (position - bisect_left(self.nops, position)).to_bytes(4, "little")
            ranges += depth.to_bytes(4, "little")
        return bytes(ranges)


def _quads(data: bytearray) -> set[bytes]:
    return {bytes(data[at : at + 4]) for at in range(0, len(data), 4)}


def _exception_ranges(table: bytes) -> list[tuple[int, int, int, int]]:
    """Entries of an exception table: (start, length, target, depth and lasti), in units of two bytes."""
    numbers: list[int] = []
    number = 0
    for byte in table:
        number = (number << 6) | (byte & 0x3F)
        if not byte & 0x40:  # the last byte of a number
            numbers.append(number)
            number = 0
    return [(numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]) for at in range(0, len(numbers), 4)]
