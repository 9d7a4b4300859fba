"""From manifests to objects, wherever the client runs.

A pickled object names the module of its class. When that cannot be imported here, or is another one than the run
used, the module is made from the run's own source file: from its place on disk while it is unchanged there, else from
the copy that the run kept. Such modules are lent to the import system only while an object is unpickled.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from blake3 import blake3

from headrace.client.source import RunReader
from headrace.model.errors import NotLoadableError, StoreError
from headrace.model.records import Input, TaskId
from headrace.model.values import Blob, Packed
from headrace.runtime import context
from headrace.stores import codecs

#: ``sys.modules`` belongs to the whole process.
_lock = threading.RLock()
# A child that is forked in another thread gets modules and import system as they are when nothing is lent.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

#: Modules made from runs' sources, by name and content, so that a class loaded twice is the same class.
_made: dict[tuple[str, bytes], ModuleType] = {}


def load(packed: Packed, run: RunReader) -> Any:
    """The object again.

    Raises:
        BlobMissingError, BlobCorruptError: the bytes are gone or damaged.
        NotLoadableError: it needs code or packages that are neither here nor among the run's sources.
    """
    return _with_sources(run, lambda: codecs.unpack(packed, run.artifacts))


def load_input(one: Input, run: RunReader) -> Any:
    """An argument of a call as the function got it; raises as ``load``."""
    if not one.template:
        return load(one.value, run)
    tasks = {TaskId(source.step, source.number) for source in one.sources}
    outputs = run.metadata.outputs(run.id, list(tasks))
    fills = [outputs.get(TaskId(s.step, s.number), {}).get(s.output) for s in one.sources]
    for source, fill in zip(one.sources, fills, strict=True):
        if fill is None:
            raise StoreError(
                f"argument {one.name!r} is made of {run.name}/{TaskId(source.step, source.number)}, whose output "
                f"{source.output!r} is not recorded any more"
            )
    values = [load(fill.value, run) for fill in fills if fill is not None]
    return _with_sources(run, lambda: codecs.unpack_template(one.value, run.artifacts, values))


def _with_sources(run: RunReader, unpack: Callable[[], Any]) -> Any:
    try:
        with lent(run):
            return unpack()
    except NotLoadableError as error:
        if not run.sources():
            raise
        first = error
    # What is imported under that name here may be something else than what the run used.
    try:
        with lent(run, instead=True):
            return unpack()
    except NotLoadableError as error:
        raise error from first


@contextlib.contextmanager
def lent(run: RunReader, *, instead: bool = False) -> Iterator[None]:
    """Let modules that cannot be imported come from the run's sources; ``instead``: all of the run's own modules."""
    finder: Any = _Finder(run)
    with _lock:
        hidden: dict[str, ModuleType] = {}
        if instead:
            for name in [*finder.names(), "__main__"]:
                if name in sys.modules:
                    hidden[name] = sys.modules.pop(name)
            sys.meta_path.insert(0, finder)
            _lend_main(finder, hidden)
        else:
            sys.meta_path.append(finder)
        outer, context.reading.active = context.reading.active, True
        try:
            yield
        finally:
            context.reading.active = outer
            sys.meta_path.remove(finder)
            for name in finder.lent:
                sys.modules.pop(name, None)
            sys.modules.update(hidden)


def _lend_main(finder: _Finder, hidden: dict[str, ModuleType]) -> None:
    """The script of the run, as the ``__main__`` it was."""
    import importlib

    sys.modules["__main__"] = hidden["__main__"]
    stem = finder.main_name()
    if stem:
        with contextlib.suppress(Exception):  # the script cannot run here; then its classes cannot be had
            sys.modules["__main__"] = importlib.import_module(stem)


class _Finder:
    """A finder for ``sys.meta_path`` that knows the source files of one run."""

    def __init__(self, run: RunReader) -> None:
        self._run = run
        self._folders: list[str] | None = None
        self.lent: list[str] = []

    def names(self) -> list[str]:
        """The modules that the run's own files could have been imported as."""
        return [
            name for name in list(sys.modules) if name.partition(".")[0] != "headrace" and self._find(name) is not None
        ]

    def main_name(self) -> str:
        """The name of the script or flow file as a module."""
        code = self._run.details().code
        if code is not None and code.module:
            return code.module
        stem, suffix = os.path.splitext(os.path.basename(self._entry()))  # noqa: PTH119, PTH122
        return stem if suffix == ".py" and stem.isidentifier() else ""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """See ``importlib.abc.MetaPathFinder``."""
        found = self._find(name)
        if found is None:
            return None
        file, blob = found
        package = os.path.basename(file) == "__init__.py"  # noqa: PTH119
        loader: Any = _Loader(self._run, file, blob)
        spec = ModuleSpec(name, loader, origin=file, is_package=package)
        if package:
            spec.submodule_search_locations = [os.path.dirname(file)]  # noqa: PTH120
        spec.has_location = True
        self.lent.append(name)
        return spec

    def _entry(self) -> str:
        """The flow's file, from the root of the project."""
        details = self._run.details()
        if details.code is not None:
            return details.code.entry.rpartition(":")[0]
        file = self._run.record(complete=True).entry.rpartition(":")[0]
        return os.path.relpath(file, details.root) if file and details.root else ""

    def _find(self, name: str) -> tuple[str, Blob] | None:
        """The file of module ``name`` and its content: beside the flow's file, in the root, or in another folder."""
        details, sources = self._run.details(), self._run.sources()
        if not sources:
            return None
        if self._folders is None:
            package = self._run.package()
            searched = package.folders if package is not None else (os.path.dirname(self._entry()), "", "src")  # noqa: PTH120
            folders = {os.path.dirname(path) for path in sources}  # noqa: PTH120
            self._folders = list(dict.fromkeys([*searched, *sorted(folders, key=len)]))
        tail = name.replace(".", os.sep)
        for folder in self._folders:
            for ending in (".py", f"{os.sep}__init__.py"):
                path = os.path.join(folder, tail + ending)  # noqa: PTH118
                blob = sources.get(path)
                if blob is not None:
                    return os.path.join(details.root, path), blob  # noqa: PTH118
        return None


class _Loader:
    """Runs a source file of a run as a module, once for each content."""

    def __init__(self, run: RunReader, file: str, blob: Blob) -> None:
        self._run = run
        self._file = file
        self._blob = blob

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module that was made of the same content before, if there is one."""
        return _made.get((spec.name, self._blob.digest))

    def exec_module(self, module: ModuleType) -> None:
        """Run the file, unless it was run before; raises whatever it raises."""
        key = (module.__name__, self._blob.digest)
        if _made.get(key) is module:
            return
        code = compile(self._source(), self._file, "exec", dont_inherit=True)
        module.__dict__["__file__"] = self._file
        _made[key] = module
        try:
            exec(code, module.__dict__)
        except BaseException:
            del _made[key]
            raise

    def _source(self) -> bytes:
        try:
            with open(self._file, "rb") as file:  # noqa: PTH123
                content = file.read()
            if blake3(content).digest() == self._blob.digest:
                return content
        except OSError:
            pass  # moved, or another machine: the run kept a copy
        return self._run.bytes_of(self._blob)
