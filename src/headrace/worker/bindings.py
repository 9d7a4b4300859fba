"""The names that a step's code reaches, with the values that they have in the flow when the step is called.

A definition of a step lists them. Before a task of another definition they are set, afterwards they are put back to
what the task was given, so that no task sees what another one did to them.
"""

from __future__ import annotations

import importlib
import sys
from types import CellType, FunctionType
from typing import Any

from headrace._base.attributes import own
from headrace._base.contents import Contents, contents_of
from headrace._base.usercode import Place, find_place
from headrace.model.messages import AS_IMPORTED, STAYS, UNBOUND, Binding, Define
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.worker import randomness, transfer

_ABSENT = object()
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
                if value is not _ABSENT:
                    setattr(self.holder, self.name, value)
                elif self.name in self.holder.__dict__:
                    delattr(self.holder, self.name)
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


class Setting:
    """What one definition wants its names to be bound to."""

    __slots__ = ("_contents", "_define", "_set", "_store", "_wanted", "own")

    def __init__(self, define: Define, store: ArtifactStore) -> None:
        self._define = define
        self._store = store
        self.own: list[_Spot] = []  # those that are as the worker has them
        self._set: list[tuple[_Spot, int]] = []  # the others, with the positions of their values
        self._wanted: list[Any] = []
        self._contents: list[Contents | None] = []

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
        if not define.bindings:
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


def cannot_travel(step: str, label: str, kind: str) -> str:
    """One line on a value that stays in the flow's process."""
    return (
        f"headrace: step {step!r} reaches {label}, but a {kind} cannot be sent to a worker: the step sees what an "
        "import leaves there; make it inside the step, or at the top of the file"
    )
