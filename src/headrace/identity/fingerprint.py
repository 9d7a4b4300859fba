"""The identity of a step's code: its own bytecode with all user code and constants that it reaches.

Equal before and after an edit of comments, docstrings or layout; different when a constant, an expression, a default
or a helper in another user module changes. Installed packages and the standard library count by name: their versions
are part of the environment. The same in every process, whatever ``PYTHONHASHSEED``.

What is followed: globals that the code loads, attributes of user modules (``helpers.clean``), classes with their
methods and bases, ``__wrapped__``, closures, defaults, attributes of functions, what is registered with a
``singledispatch`` function, and imports inside functions. What cannot be seen: names made up at run time
(``getattr(module, name)``). Objects that cannot be pickled (an open file, a lock, a connection) count by type, with the
user's code that they hold.
"""

from __future__ import annotations

import copyreg
import marshal
import sys
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from blake3 import blake3

from headrace._base.attributes import instance_dict, own
from headrace._base.chance import is_unseeded
from headrace._base.usercode import (
    canonical_name,
    find_user_module,
    is_user_module,
    module_file,
    place_of,
    place_of_namespace,
)
from headrace._base.whereabouts import from_root
from headrace.identity.bytecode import Import, Reading, read_code
from headrace.identity.heldcode import held_code

_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes, type(Ellipsis)})
_PLAIN = 2  # marshal without references: the bytes depend on the value alone
_DEPTH = 60  # of values inside values; what is deeper counts by type
#: Globals that say where a module lies: code that is elsewhere, in another folder or on another machine, is the same.
_WHEREABOUTS = frozenset({"__file__", "__path__", "__cached__", "__spec__", "__loader__"})
#: What a class holds that follows from the rest, or from where and how its source is laid out.
_DERIVED = frozenset(
    {
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__firstlineno__",
        "__static_attributes__",
        "__classcell__",
        "__dataclass_fields__",
        "__abstractmethods__",
        "_abc_impl",
        "__annotations_cache__",
        "__struct_config__",
        "_member_map_",
        "_value2member_map_",
        "_hashable_values_",
        "_unhashable_values_",
        "_unhashable_values_map_",
    }
)
#: No object: a name that is not bound.
ABSENT = object()
_OWN_PLACE, _PART = -1, -2  # of ``Binding.within``


class Fingerprint(msgspec.Struct, frozen=True):
    """``digest`` is 32 bytes; ``parts`` says what it is made of, qualified name -> digest of that thing alone."""

    digest: bytes
    parts: dict[str, bytes]


def fingerprint(func: Callable[..., object]) -> Fingerprint:
    """The fingerprint of ``func`` (a function, a class, a step, any callable) as it is now.

    Bytecode is read once per function; globals are looked up and constants digested at every call, so that a helper
    redefined in a notebook or a changed global list is noticed. Nothing is executed or imported. A function of an
    installed package counts by its name.
    """
    return survey(func)[0]


def survey(func: Callable[..., object]) -> tuple[Fingerprint, list[Binding], frozenset[str]]:
    """The fingerprint of ``func``, the bindings that its code reaches, each once, and the names that it binds anew."""
    walk = _Walk()
    encoded = walk.encode(func)
    if not encoded.startswith(b"@"):
        walk.parts[_name(func)] = blake3(encoded).digest()
    found = walk.finish()
    return found, list(walk.reached.values()), frozenset(walk.stores)


class Binding(msgspec.Struct, frozen=True):
    """A name that code reaches, and what it is bound to.

    ``kind`` says what ``holder`` is: ``global`` (the dictionary of a module), ``class``, ``cell``, ``defaults``,
    ``kwdefaults`` (functions), ``attribute`` (of a function). ``data``: the value counts by its content. ``within``:
    the position of the binding with which it travels, -1 where it has a place of its own in a module, -2 where it is a
    part of the function that was asked about.
    """

    kind: str
    holder: Any
    name: str
    value: object
    data: bool
    within: int


def fingerprint_file(name: str, path: str) -> Fingerprint:
    """The fingerprint of the user's module ``name``, imported or not, and of what it imports."""
    walk = _Walk()
    walk.refer(path, name, _File(name, path))
    return walk.finish()


class _File(msgspec.Struct, frozen=True):
    """A module as its file has it, whether or not it is loaded."""

    name: str
    path: str


class _Opaque(Exception):
    """A value that cannot be written down."""


_readings: WeakKeyDictionary[FunctionType, tuple[CodeType, Reading]] = WeakKeyDictionary()
_file_readings: dict[str, tuple[tuple[int, int], Reading]] = {}


def _reading(function: FunctionType) -> Reading:
    known = _readings.get(function)
    if known is None or known[0] is not function.__code__:
        known = _readings[function] = (function.__code__, read_code(function.__code__))
    return known[1]


def _file_reading(path: str) -> Reading:
    """The code of a module's file; raises OSError. What is not Python (an extension module) counts by its bytes."""
    with open(path, "rb") as file:  # noqa: PTH123 - a path is a string here, see usercode
        source = file.read()
    digest = blake3(source).digest()
    stamp = (len(source), int.from_bytes(digest[:8], "little"))
    known = _file_readings.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    reading = Reading(digest, (), ())
    if path.endswith(".py"):
        try:
            reading = read_code(compile(source, path, "exec", dont_inherit=True))
        except (SyntaxError, ValueError):
            pass  # importing it will fail in the step, with a better message than ours
    _file_readings[path] = (stamp, reading)
    return reading


def _name(thing: object) -> str:
    """``module.qualname`` of a function or class; of the type for anything else."""
    if not isinstance(thing, (FunctionType, type, BuiltinFunctionType)):
        thing = type(thing)
    module = thing.__module__
    return f"{canonical_name(module)}.{thing.__qualname__}" if isinstance(module, str) else thing.__qualname__


def _is_user_function(function: FunctionType) -> bool:
    name = function.__globals__.get("__name__", "")
    return isinstance(name, str) and is_user_module(name)


def is_users_own(value: object) -> bool:
    """Whether ``value``, found in a module of a library, was put there by the user: a function or object of theirs."""
    if type(value) is FunctionType:
        name = value.__globals__.get("__name__")
    else:
        name = (value if issubclass(type(value), type) else type(value)).__module__
    return isinstance(name, str) and name in sys.modules and is_user_module(name)


def _frame(pieces: list[bytes]) -> bytes:
    """The pieces joined so that no two different lists give the same bytes."""
    return b"".join([len(piece).to_bytes(8, "little") + piece for piece in pieces])


def _wrapped(value: object) -> object:
    """The function or class behind a step, ``functools.lru_cache``, ``staticmethod`` and the like; else None."""
    try:
        inner = own(value, "__wrapped__")
    except Exception:  # any code may stand behind an attribute: a proxy without an object raises what it likes
        return None
    return inner if isinstance(inner, (FunctionType, type)) or callable(inner) else None


class _Walk:
    """One traversal. Code found waits in a list, so that long chains of calls need no deep stack."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.pending: list[tuple[str, FunctionType | type | _File]] = []
        self._names: dict[object, str] = {}  # id (or path) of a thing -> name of its part
        self._taken: set[str] = set()
        self._known: dict[int, bytes] = {}  # id of a value -> its encoding
        self._kept: list[object] = []  # keeps these ids from being used again
        self._open: set[int] = set()  # values being encoded now, to stop at cycles
        self._depth = 0
        self._strict = 0  # inside a foreign object, where one opaque value makes the whole opaque
        self.reached: dict[tuple[int, str, str], Binding] = {}
        self.stores: set[str] = set()  # names of globals and attributes that the code binds or deletes
        self._within = _PART  # of what is being read now, as ``Binding`` has it
        self._homes: dict[str, int] = {}  # the same, by the names of parts

    def finish(self) -> Fingerprint:
        """Read all code found, and what it leads to."""
        while self.pending:
            name, thing = self.pending.pop()
            self._within = self._homes[name] if isinstance(thing, _File) or place_of(thing) is None else _OWN_PLACE
            if isinstance(thing, FunctionType):
                content = self._function(thing)
            elif isinstance(thing, type):
                content = self._class(thing)
            else:
                content = self._file(thing)
            self.parts[name] = blake3(content).digest()
        parts = dict(sorted(self.parts.items()))
        whole = _frame([piece for name, digest in parts.items() for piece in (name.encode(), digest)])
        return Fingerprint(blake3(whole).digest(), parts)

    # --- code -------------------------------------------------------------------------------------------------

    def refer(self, key: object, name: str, thing: FunctionType | type | _File) -> bytes:
        """The name of the part that ``thing`` is; it is read when its turn comes."""
        known = self._names.get(key)
        if known is None:
            known = self._names[key] = self._unique(name)
            self._kept.append(thing)
            self._homes[known] = self._within
            self.pending.append((known, thing))
        return b"@" + known.encode()

    def _bound(self, kind: str, holder: Any, name: str, value: object) -> bytes:
        """The encoding of a value by what it is bound to, which is noted."""
        key = (id(holder), kind, name)
        if key in self.reached:
            return self.encode(value)
        outer, at = self._within, len(self.reached)
        self.reached[key] = Binding(kind, holder, name, value, data=False, within=outer)
        if kind == "global" and place_of_namespace(holder) is not None:
            self._within = _OWN_PLACE
        within = self._within
        if within == _OWN_PLACE:
            self._within = at  # what has no place of its own and is found here travels with this
        try:
            encoded = self.encode(value)
        finally:
            self._within = outer
        self.reached[key] = Binding(kind, holder, name, value, encoded[:1] == b"=", within)
        return encoded

    def _unique(self, name: str) -> str:
        """``name``, or with a number where several things bear it (closures made by one function)."""
        unique, number = name, 1
        while unique in self._taken:
            number += 1
            unique = f"{name}#{number}"
        self._taken.add(unique)
        return unique

    def _function(self, function: FunctionType) -> bytes:
        reading = _reading(function)
        self.stores |= reading.stores
        pieces = [reading.content]
        for kind, values in (("defaults", function.__defaults__), ("kwdefaults", function.__kwdefaults__)):
            pieces.append(self.encode(values) if values is None else self._bound(kind, function, "", values))
        for index, cell in enumerate(function.__closure__ or ()):
            try:
                pieces.append(self._bound("cell", function, str(index), cell.cell_contents))
            except ValueError:
                pieces.append(b"empty")
        pieces += [self._chain(function.__globals__, chain) for chain in reading.chains]
        package = function.__globals__.get("__package__") or ""
        pieces += self._imports(reading.imports, str(package))
        attributes = function.__dict__
        if "__wrapped__" in attributes:
            pieces.append(self.encode(attributes["__wrapped__"]))
        if len(attributes) > ("__wrapped__" in attributes) and not attributes.get("is_step"):  # a dialect's own marks
            for name in sorted(attributes.keys() - {"__wrapped__"}):
                pieces += (name.encode(), self._bound("attribute", function, name, attributes[name]))
        return _frame(pieces)

    def _class(self, kind: type) -> bytes:
        pieces = [self.encode(base) for base in (*kind.__bases__, type(kind))]
        for name in sorted(kind.__dict__.keys() - _DERIVED):
            pieces += (name.encode(), self._bound("class", kind, name, kind.__dict__[name]))
        return _frame(pieces)

    def _file(self, file: _File) -> bytes:
        try:
            reading = _file_reading(file.path)
        except OSError:
            return b"unreadable"
        self.stores |= reading.stores
        is_package = file.path.endswith("__init__.py")
        package = file.name if is_package else file.name.rpartition(".")[0]
        return _frame([reading.content, *self._imports(reading.imports, package)])

    def _imports(self, imports: tuple[Import, ...], package: str) -> list[bytes]:
        """What import statements lead to, as files: whether a module is loaded already must not matter."""
        found: list[bytes] = []
        for one in imports:
            base = one.name
            if one.level:
                parent = package.rsplit(".", one.level - 1)[0]
                base = f"{parent}.{base}" if base else parent
            for name in (base, *(f"{base}.{chosen}" for chosen in one.names)):
                path = find_user_module(name) if name else ""
                if path:
                    found.append(self.refer(path, name, _File(name, path)))
        return found

    def _chain(self, namespace: Mapping[str, object], chain: tuple[str, ...]) -> bytes:
        """A global with the attributes taken from it, followed as far as they are user modules."""
        value: Any = namespace.get(chain[0], ABSENT)
        name = chain[0]
        for attribute in chain[1:]:
            if not issubclass(type(value), ModuleType):
                break
            inner = value.__dict__.get(attribute, ABSENT)
            foreign = not is_user_module(value.__name__)
            if foreign and not is_users_own(inner):
                self._note(namespace, name, value)
                self._note(value.__dict__, attribute, inner)
                return b"module" + str(value.__name__).encode()
            if inner is ABSENT:
                self._note(value.__dict__, attribute, inner)
                break
            self._note(namespace, name, value)
            namespace, name, value = value.__dict__, attribute, inner
        if value is ABSENT:
            self._note(namespace, name, value)
            return b"builtin"
        if name in _WHEREABOUTS:
            return b"whereabouts" + name.encode()
        encoded = self._bound("global", namespace, name, value)
        if encoded[:1] != b"=":
            return encoded
        owner = str(namespace.get("__name__", ""))
        return self._constant(f"{canonical_name(owner)}.{name}", encoded)

    def _note(self, namespace: Mapping[str, object], name: str, value: object) -> None:
        """Note what a name is bound to that leads elsewhere, or nowhere."""
        key = (id(namespace), "global", name)
        self.reached.setdefault(key, Binding("global", namespace, name, value, data=False, within=_OWN_PLACE))

    def _constant(self, label: str, encoded: bytes) -> bytes:
        """A part of its own for a global value, so that ``explain`` can name it."""
        digest = blake3(encoded).digest()
        if self.parts.get(label) != digest:
            label = self._unique(label)
            self.parts[label] = digest
        return b"@" + label.encode()

    # --- values: "=" starts a value, "@" the name of a part, anything else is told by name ------------------------

    def encode(self, value: object) -> bytes:
        """``value`` as bytes that are equal in every process for an equal value; code in it becomes a part."""
        kind = type(value)
        if kind in _SCALARS and kind is not str:
            return b"=" + _dump(value)
        inside = from_root(value)
        if inside is not None:
            return b"=in the project" + _dump((kind.__name__, inside))
        if kind is str:
            return b"=" + _dump(value)
        try:
            value.__class__  # noqa: B018
        except Exception:  # a proxy that stands for nothing now: whatever asks for its class raises this
            if self._strict:
                raise _Opaque(kind.__qualname__) from None
            return b"opaque" + _name(kind).encode()
        if isinstance(value, FunctionType):
            return self._encode_function(value)
        if isinstance(value, type):
            if is_user_module(value.__module__) and kind is not _GENERIC_ALIAS:
                return self.refer(id(value), _name(value), value)
            return b"type" + _name(value).encode()
        if isinstance(value, ModuleType):
            path = module_file(value) if is_user_module(value.__name__) else ""
            name = canonical_name(value.__name__)
            return self.refer(path, name, _File(name, path)) if path else b"module" + name.encode()
        if id(value) in self._open:
            return b"=cycle"
        known = self._known.get(id(value))
        if known is not None:
            return known
        return self._encode_object(value)

    def _encode_function(self, function: FunctionType) -> bytes:
        if _is_user_function(function):
            return self.refer(id(function), _name(function), function)
        inner = function.__dict__.get("__wrapped__")
        name = _name(function)
        if self._strict and "<" in name:
            raise _Opaque(name)
        encoded = b"function" + name.encode()
        if inner is not None:
            encoded = _tagged(b"wrap", [name.encode(), self.encode(inner)])
        if "<" in function.__code__.co_qualname:  # made inside a function of a library, for the user
            encoded = self._holding(encoded, function, inner)
        return encoded

    def _holding(self, encoded: bytes, value: object, besides: object = None) -> bytes:
        """``encoded``, with the user's code that is held by ``value``; ``besides`` is in there already."""
        pieces = sorted({self.encode(one) for one in held_code(value) if one is not besides})
        for item in instance_dict(value).values():
            if type(item) is MappingProxyType and isinstance(value, FunctionType):  # what is registered for which type
                pieces += sorted([_frame([self.encode(key), self.encode(one)]) for key, one in item.items()])
        return _tagged(encoded, pieces) if pieces else encoded

    def _encode_object(self, value: object) -> bytes:
        if self._depth >= _DEPTH:
            return self._opaque(value)
        self._open.add(id(value))
        self._depth += 1
        try:
            encoded = self._content(value)
        finally:
            self._depth -= 1
            self._open.discard(id(value))
        self._kept.append(value)
        self._known[id(value)] = encoded
        return encoded

    def _content(self, value: object) -> bytes:
        kind = type(value)
        if isinstance(value, (list, tuple)) and (kind is list or kind is tuple):
            if _SCALARS.issuperset(map(type, value)):
                return _value(b"plain", [_dump(value)])
            return _value(kind.__name__.encode(), [self.encode(item) for item in value])
        if isinstance(value, MappingProxyType):
            return self.encode(dict(value))
        if isinstance(value, dict) and kind is dict:
            items = [piece for key, item in value.items() for piece in (self.encode(key), self.encode(item))]
            return _value(b"dict", items)
        if isinstance(value, (set, frozenset)) and (kind is set or kind is frozenset):
            return _value(kind.__name__.encode(), sorted([self.encode(item) for item in value]))
        if kind is getattr(sys.modules.get("_pickle"), "PickleBuffer", None):
            return _value(b"buffer", [_large(value.raw())])  # type: ignore[attr-defined]
        if isinstance(value, bytearray):
            return _value(b"bytearray", [_large(memoryview(value))])
        if isinstance(value, MethodType):
            pieces = [self.encode(value.__func__), self.encode(value.__self__)]
            return (_value if pieces[1][:1] == b"=" else _tagged)(b"method", pieces)
        if isinstance(value, property):
            return _tagged(b"property", [self.encode(one) for one in (value.fget, value.fset, value.fdel)])
        if isinstance(value, CodeType):
            return _value(b"code", [read_code(value).content])
        inner = _wrapped(value)
        if inner is None and _name(value) == "functools.cached_property":
            inner = getattr(value, "func", None)  # before 3.12 it holds a lock, which hides the rest
        if inner is not None:
            return _tagged(b"wrap", [_name(value).encode(), self.encode(inner)])
        return self._reduced(value)

    def _reduced(self, value: object) -> bytes:
        """An object by what pickle would make it from again."""
        if is_unseeded(value):  # each process has another state, which is not a part of the code
            return _value(b"generator", [_name(value).encode()])
        foreign = not is_user_module(type(value).__module__)
        self._strict += foreign
        try:
            reducer = copyreg.dispatch_table.get(type(value))
            made = reducer(value) if reducer is not None else value.__reduce_ex__(5)
            if isinstance(made, str):
                return b"global" + f"{getattr(value, '__module__', '')}.{made}".encode()
            pieces = [_name(value).encode()]
            for position, piece in enumerate(made):
                # Items of list and dict subclasses come as iterators.
                pieces.append(self.encode(list(piece) if position in (3, 4) and piece is not None else piece))
            return _value(b"object", pieces)
        except Exception:  # a reducer may raise anything: whatever it is, the object has no bytes
            self._strict -= foreign
            foreign = False
            return self._opaque(value)
        finally:
            self._strict -= foreign

    def _opaque(self, value: object) -> bytes:
        if self._strict:
            raise _Opaque(_name(value))
        return self._holding(b"opaque" + _name(value).encode(), value)


_GENERIC_ALIAS = type(list[int])


def _dump(value: Any) -> bytes:
    return marshal.dumps(value, _PLAIN)


def _large(data: memoryview) -> bytes:
    return blake3(data, max_threads=blake3.AUTO if data.nbytes > 1 << 20 else 1).digest()


def _tagged(tag: bytes, pieces: list[bytes]) -> bytes:
    return tag + _frame(pieces)


def _value(tag: bytes, pieces: list[bytes]) -> bytes:
    """An encoded value; a long one is shortened to its digest."""
    content = _tagged(tag, pieces)
    return b"=" + content if len(content) <= 256 else b"=#" + blake3(content).digest()
