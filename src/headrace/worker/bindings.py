"""The names that a step's code reaches, with the values that they have in the flow when the step is called.

A definition of a step lists them. Before a task of another definition they are set, afterwards they are put back to
what the task was given, so that no task sees what another one did to them.
"""

from __future__ import annotations

import importlib
import operator
import sys
from functools import partial
from itertools import repeat
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

from headrace._base.attributes import own
from headrace._base.contents import Contents, contents_of
from headrace._base.usercode import Place, find_place, is_user_module
from headrace.model.messages import AS_IMPORTED, STAYS, UNBOUND, Binding, Define
from headrace.runtime import randomness, transfer
from headrace.runtime.transfer import cannot_travel
from headrace.stores.artifacts.protocol import ArtifactStore

_ABSENT = object()
_LEFT = object()
#: Bytes of a value of the worker's own that are kept to put it back when a task has changed it inside.
_KEPT = 1 << 20


class _Spot:
    """Where a name is bound. ``own`` is what it was bound to before any task; ``kept`` makes that again."""

    __slots__ = ("contents", "holder", "index", "kept", "kind", "module", "name", "own")

    def __init__(self, holder: Any, one: Binding) -> None:
        self.holder, self.module, self.kind, self.name = holder, one.module, one.kind, one.name
        self.index = int(one.name) if one.kind == "cell" else 0
        self.own = self.get()
        self.contents = contents_of(self.own)
        self.kept = b""
        if self.contents is not None and self.contents.whole:
            try:
                kept = transfer.dumps(self.own)
            except Exception:  # it cannot be copied, so it is left as tasks leave it
                kept = b""
            self.kept = kept if len(kept) <= _KEPT else b""

    def get(self) -> Any:
        match self.kind:
            case "global":
                return self.holder.get(self.name, _ABSENT)
            case "class" | "attribute":
                return self.holder.__dict__.get(self.name, _ABSENT)
            case "cell":
                try:
                    return self.holder.__closure__[self.index].cell_contents
                except ValueError:
                    return _ABSENT
            case "defaults":
                return self.holder.__defaults__
            case _:
                return self.holder.__kwdefaults__

    def set(self, value: Any) -> None:
        match self.kind:
            case "global":
                if value is _ABSENT:
                    self.holder.pop(self.name, None)
                else:
                    self.holder[self.name] = value
            case "class" | "attribute":
                _bind(self.holder, self.name, value)
            case "cell":
                _fill(self.holder.__closure__[self.index], value)
            case "defaults":
                self.holder.__defaults__ = value
            case _:
                self.holder.__kwdefaults__ = value

    def renew(self) -> None:
        """Give the worker's own value the contents that it had, in place where others may hold it too."""
        copy = transfer.loads(self.kept)
        if not _refill(self.own, copy):
            self.own = copy
            self.set(copy)
        self.contents = contents_of(self.own)


def _fill(cell: CellType, value: Any) -> None:
    if value is _ABSENT:
        del cell.cell_contents
    else:
        cell.cell_contents = value


def _refill(value: Any, copy: Any) -> bool:
    kind = type(value)
    if kind is MethodType or kind is BuiltinFunctionType:
        return _refill(value.__self__, copy.__self__)
    if issubclass(kind, partial):
        held = [(value.func, copy.func), *zip(value.args, copy.args, strict=True)]
        held += [(one, copy.keywords[name]) for name, one in value.keywords.items()]
        return all(_refill(one, other) for one, other in held if contents_of(one) is not None)
    if kind is list or kind is bytearray:
        value[:] = copy
    elif kind is dict or kind is set:
        value.clear()
        value.update(copy)
    elif own(value, "__dict__") is not None and not isinstance(value, (dict, list, set, bytearray)):
        value.__dict__.clear()
        value.__dict__.update(copy.__dict__)
    else:
        return False
    return True


class _Stores:
    """Names that a step's code binds, as they are in all modules and classes of the user's before the step runs.

    What the code only writes is not among the names that it reaches, so it is looked for by name.
    """

    __slots__ = ("_before", "_names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = tuple(name for name in names if name[:2] != "__")
        self._before: list[tuple[Any, Any, list[Any]]] = []  # holder, its names, what they are bound to
        if self._names:
            for holder, names_of in _holders():
                self._before.append((holder, names_of, self._values(names_of)))

    def _values(self, names_of: Any) -> list[Any]:
        return list(map(names_of.get, self._names, repeat(_ABSENT)))

    def leave_out(self, spots: list[_Spot]) -> None:
        """Leave alone what is set for the step."""
        for spot in spots:
            for holder, names_of, values in self._before:
                if spot.name in self._names and (spot.holder is names_of or spot.holder is holder):
                    values[self._names.index(spot.name)] = _LEFT

    def put_back(self) -> None:
        """Bind the names as they were."""
        for holder, names_of, values in self._before:
            now = self._values(names_of)
            if all(map(operator.is_, now, values)):
                continue
            for name, value, other in zip(self._names, values, now, strict=True):
                if value is not other and value is not _LEFT and not _is_submodule(holder, name, other):
                    _bind(holder, name, value)


def _holders() -> list[tuple[Any, Any]]:
    """The user's modules, and the classes and functions in them, with the dictionaries of their names."""
    found: dict[int, tuple[Any, Any]] = {}
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or id(module) in found or not is_user_module(name):
            continue
        found[id(module)] = (module, module.__dict__)
        waiting = list(module.__dict__.values())
        while waiting:
            value = waiting.pop()
            kind = type(value)
            if id(value) in found or not issubclass(kind, (type, FunctionType)):
                continue
            if not isinstance(value.__module__, str) or not is_user_module(value.__module__):
                continue
            found[id(value)] = (value, value.__dict__)
            if issubclass(kind, type):
                waiting += value.__dict__.values()
    return list(found.values())


def _is_submodule(holder: Any, name: str, value: Any) -> bool:
    """Whether an import has put ``value`` there: the next one would not do it again."""
    return isinstance(value, ModuleType) and sys.modules.get(f"{holder.__name__}.{name}") is value


def _bind(holder: Any, name: str, value: Any) -> None:
    if isinstance(holder, type):  # past what a metaclass makes of it
        if value is not _ABSENT:
            type.__setattr__(holder, name, value)
        elif name in holder.__dict__:
            type.__delattr__(holder, name)
    elif value is _ABSENT:
        holder.__dict__.pop(name, None)
    else:
        holder.__dict__[name] = value


class Setting:
    """What one definition wants its names to be bound to."""

    __slots__ = ("_contents", "_define", "_set", "_store", "_stores", "_wanted", "own")

    def __init__(self, define: Define, store: ArtifactStore) -> None:
        self._define = define
        self._store = store
        self.own: list[_Spot] = []  # those that are as the worker has them
        self._set: list[tuple[_Spot, int]] = []  # the others, with the positions of their values
        self._wanted: list[Any] = []
        self._contents: list[Contents | None] = []
        self._stores: _Stores | None = None

    def add(self, spot: _Spot, one: Binding) -> None:
        """Take a name in. Raises whatever making its value raises."""
        differs = one.index == UNBOUND or (
            one.index >= 0 and (not one.digest or spot.own is _ABSENT or transfer.digest_of(spot.own) != one.digest)
        )
        if not differs:
            self.own.append(spot)
            return
        self._set.append((spot, one.index))

    @property
    def spots(self) -> list[_Spot]:
        """All that are set to something else than the worker's own."""
        return [spot for spot, _ in self._set]

    def look(self) -> None:
        """See how the names that the step's code binds are now, when all names are the worker's own."""
        if self._define.stores:
            self._stores = _Stores(self._define.stores)
            self._stores.leave_out(self.spots)

    def make(self) -> None:
        """Make the values anew. Raises whatever that raises."""
        if not self._set:
            return
        values: Any = transfer.unpack(self._define.values, self._store) if self._define.values is not None else ()
        self._wanted = [values[index] if index >= 0 else _ABSENT for _, index in self._set]
        self._contents = [contents_of(value) for value in self._wanted]
        for (spot, _), value in zip(self._set, self._wanted, strict=True):
            randomness.take_in(value, spot.module, spot.name)

    def apply(self) -> None:
        """Bind the names."""
        for (spot, _), value in zip(self._set, self._wanted, strict=True):
            if spot.get() is not value:
                spot.set(value)

    def put_back(self) -> None:
        """Undo what a task did to the names and to what is in their values."""
        if self._stores is not None:
            self._stores.put_back()
        for spot in self.own:
            if spot.get() is not spot.own:
                spot.set(spot.own)
            if spot.contents is not None and spot.kept and not spot.contents.same(contents_of(spot.own)):
                spot.renew()
        for value, contents in zip(self._wanted, self._contents, strict=True):
            if contents is not None and not contents.same(contents_of(value)):
                self.make()  # all of them: they may hold each other
                break
        self.apply()


class Bindings:
    """All names that definitions know in this worker."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._spots: dict[tuple[str, str, int, str, str], _Spot] = {}
        self._current: Setting | None = None
        self._told: set[str] = set()

    def adopt(self, define: Define) -> Setting | None:
        """Get ready for a definition: find its names here, and what to set them to.

        Raises:
            BaseException: what importing the flow's modules raises.
        """
        if not define.bindings and not define.stores:
            return None
        self.enter(None)  # what is found here must be the worker's own
        setting = Setting(define, self._store)
        for one in define.bindings:
            spot = self._spot(one)
            if spot is None:
                continue
            if one.index == STAYS:
                self._tell(define, one, spot)
                continue
            setting.add(spot, one)
        setting.look()
        setting.make()
        return setting

    def _spot(self, one: Binding) -> _Spot | None:
        key = (one.module, one.path, one.depth, one.kind, one.name)
        spot = self._spots.get(key)
        if spot is None:
            if one.index == AS_IMPORTED and one.module not in sys.modules:
                return None
            module = sys.modules.get(one.module) or importlib.import_module(one.module)
            holder: Any = module.__dict__
            if one.path:
                holder = find_place(Place(one.module, one.path, one.depth))
                if not isinstance(holder, (type, FunctionType)):  # an import does not make it here
                    return None
            spot = self._spots[key] = _Spot(holder, one)
        return spot

    def _tell(self, define: Define, one: Binding, spot: _Spot) -> None:
        """Say that a value of the flow's is not here, unless an import made one of its kind."""
        label = f"{one.module}.{one.path + '.' if one.path else ''}{one.name}"
        kind = type(spot.own)
        if label in self._told or f"{kind.__module__}.{kind.__qualname__}" == one.type:
            return
        self._told.add(label)
        print(cannot_travel(define.name, label, one.type), file=sys.stderr)

    def enter(self, setting: Setting | None) -> None:
        """Bind the names as the next task wants them."""
        if setting is self._current:
            return
        if self._current is not None:
            for spot in self._current.spots:
                spot.set(spot.own)
        self._current = setting
        if setting is not None:
            setting.apply()

    def leave(self) -> None:
        """Undo what the task did to them."""
        if self._current is not None:
            self._current.put_back()
