"""Whether the names that a step's code reaches still have the values that they had when the step was last defined.

Asked at every call of a step, so it costs tens of nanoseconds for each name, and more only for values that can change
inside.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from types import CellType, FunctionType, MappingProxyType, ModuleType
from typing import Any

from headrace._base.contents import Contents, contents_of
from headrace._base.usercode import is_user_module
from headrace.identity.fingerprint import ABSENT, Binding
from headrace.model.messages import Surroundings


class Watch:
    """The values that the names of one definition of a step had when it was made."""

    __slots__ = ("_cells", "_classes", "_contents", "_functions", "_names")

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self._names: list[tuple[Callable[[str, object], object], str, object]] = []
        self._cells: list[tuple[CellType, object]] = []
        self._functions: list[tuple[FunctionType, object, object]] = []
        self._classes: list[tuple[Any, int]] = []
        self._contents: list[tuple[object, Contents]] = []
        for one in bindings:
            self._add(one)

    def _add(self, one: Binding) -> None:
        if one.kind == "global":
            self._names.append((one.holder.get, one.name, one.value))
        elif one.kind == "class":
            self._names.append((one.holder.__dict__.get, one.name, one.value))
            if (one.holder.__dict__, len(one.holder.__dict__)) not in self._classes:
                self._classes.append((one.holder.__dict__, len(one.holder.__dict__)))
        elif one.kind == "attribute":
            self._names.append((one.holder.__dict__.get, one.name, one.value))
        elif one.kind == "cell":
            self._cells.append((one.holder.__closure__[int(one.name)], one.value))
        else:
            self._functions.append((one.holder, one.holder.__defaults__, one.holder.__kwdefaults__))
        if one.data:
            contents = contents_of(one.value)
            if contents is not None:
                self._contents.append((one.value, contents))

    def unchanged(self) -> bool:
        """Whether all names still have these values."""
        for get, name, value in self._names:
            if get(name, ABSENT) is not value:
                return False
        for cell, value in self._cells:
            try:
                if cell.cell_contents is not value:
                    return False
            except ValueError:  # deleted
                return False
        for function, defaults, named in self._functions:
            if function.__defaults__ is not defaults or function.__kwdefaults__ is not named:
                return False
        for names, count in self._classes:
            if len(names) != count:
                return False
        for value, contents in self._contents:  # noqa: SIM110 - without the frame of a generator
            if not contents.same(contents_of(value)):
                return False
        return True


class Snapshot:
    """The values of names in user modules and classes at the moment when workers were forked from this process."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], tuple[object, dict[str, tuple[object, Contents | None]]]] = {}
        for name, module in list(sys.modules.items()):
            space = module.__dict__ if isinstance(module, ModuleType) else None
            if space is None or (id(space), "global") in self._kept or not is_user_module(name):
                continue
            self._keep(space, "global", space)
            for value in list(space.values()):
                if issubclass(type(value), type) and value.__module__ == space.get("__name__"):
                    self._keep(value, "class", value.__dict__)
                    for member in list(value.__dict__.values()):
                        self._keep_function(member)
                self._keep_function(value)

    def _keep_function(self, function: Any) -> None:
        if type(function) is not FunctionType or (id(function), "cell") in self._kept:
            return
        cells = {}
        for index, cell in enumerate(function.__closure__ or ()):
            with contextlib.suppress(ValueError):  # empty
                cells[str(index)] = cell.cell_contents
        self._keep(function, "cell", cells)
        self._keep(function, "defaults", {"": function.__defaults__})
        self._keep(function, "kwdefaults", {"": function.__kwdefaults__})
        self._keep(function, "attribute", function.__dict__)

    def _keep(self, holder: object, kind: str, names: Any) -> None:
        kept = {name: (value, contents_of(value)) for name, value in names.items() if name[:2] != "__"}
        self._kept[(id(holder), kind)] = (holder, kept)

    def same(self, binding: Binding) -> bool | None:
        """Whether a name of a module or class has the value that it had then; None if that is not known."""
        kept = self._kept.get((id(binding.holder), binding.kind))
        if kept is None:
            return None
        value, contents = kept[1].get(binding.name, (ABSENT, None))
        if value is not binding.value:
            return False
        return contents is None or contents.same(contents_of(value))


class ProcessState:
    """Environment, working directory and arguments of this process, as they were when its workers were made.

    ``given`` are variables that workers get beside: where the run is kept, when the process's own do not say it.
    """

    def __init__(self, given: Mapping[str, str] = MappingProxyType({})) -> None:
        self._given = dict(given)
        self._as_begun = Surroundings(variables=tuple(sorted(given.items()))) if given else None
        self._variables = _table().copy()
        self._directory = _directory()
        self._argv = list(sys.argv)
        self._logging = _logging()

    def logs_otherwise(self) -> bool:
        """Whether ``logging`` has been set up since: another level or other handlers of the root logger."""
        return _logging() != self._logging

    def change(self) -> Surroundings | None:
        """The differences to what workers began with; None if there are none."""
        # Every call of a step comes here: what the two functions below do is written out.
        environ: Any = os.environ
        table: dict[bytes, bytes] = environ._data
        try:
            directory = os.getcwd()  # noqa: PTH109
        except OSError:
            directory = ""
        if table == self._variables and directory == self._directory and sys.argv == self._argv:
            return self._as_begun
        before = self._variables
        changed = {name: value for name, value in table.items() if before.get(name) != value}
        variables = {os.fsdecode(name): os.fsdecode(value) for name, value in changed.items()} | self._given
        return Surroundings(
            variables=tuple(sorted(variables.items())),
            removed=tuple(sorted(os.fsdecode(name) for name in before.keys() - table.keys())),
            directory="" if directory == self._directory else directory,
            argv=None if sys.argv == self._argv else tuple(map(str, sys.argv)),
        )


def _logging() -> tuple[int, list[object]] | None:
    root: Any = getattr(sys.modules.get("logging"), "root", None)  # another thread may be importing it
    return None if root is None else (root.level, list(root.handlers))


def _directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - hot path
    except OSError:  # it was removed
        return ""


def _table() -> dict[bytes, bytes]:
    environ: Any = os.environ  # through the mapping itself, a comparison takes ten times as long
    table: dict[bytes, bytes] = environ._data
    return table
