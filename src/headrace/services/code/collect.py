"""Finding the files of a code package: the user's modules that the flow can reach, and what ``include`` names.

A module is reached if it is imported already and lies in the project, or if the text of a reached file imports it,
wherever in that text, and a file of the user's answers to the name. Nothing is imported or run to find that out.
"""

# ruff: noqa: PTH100, PTH110, PTH112, PTH118, PTH119, PTH120, PTH122, PTH208 - paths are plain strings, as in ``files``

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from types import ModuleType

import msgspec

from headrace._base.usercode import is_user_file, main_name, module_file
from headrace.model.code import is_safe
from headrace.model.errors import CodePackageError
from headrace.services.code import files
from headrace.services.code.known import KnownFiles

#: Where code from outside of the project goes, by the name of its folder on ``sys.path``.
OUTSIDE = ".path"
#: Where the cells of a notebook go.
CELLS = ".cells"
_ROOT_MARKS = (".git", "pyproject.toml", "setup.py")
_SUFFIXES = (".py", ".so")
#: Larger files are read when they are stored, one after the other.
_HELD = 1 << 20


class CodeRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a code package may hold, by the settings. ``include`` and ``exclude`` are patterns from the project's root.

    ``file_limit`` and ``limit`` are bytes: of one file, and of all. What lies in ``skipped``, where runs are kept, is
    never included. ``known`` is the folder for digests of files that were read before.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    file_limit: int = 16 << 20
    limit: int = 256 << 20
    skipped: tuple[str, ...] = ()
    known: str = ""
    root: str = ""  # of the project; found by ``project_root`` when it is not given


class Found(msgspec.Struct):
    """A file of the package: where it is, and its content or, when it was read before, the digest of that.

    A large one has neither yet.
    """

    path: str
    size: int
    executable: bool = False
    content: bytes | None = None
    digest: bytes = b""
    stamp: files.Stamp | None = None
    imports: tuple[str, ...] = ()


class Collected:
    """The files of a package by their place in it, ready to be stored. ``left_out``: why others are not among them."""

    def __init__(self, root: str, script: str, known: KnownFiles) -> None:
        self.root = root
        self.script = script  # the place of the flow's file
        self.known = known
        self.module = ""  # as which it was loaded
        self.files: dict[str, Found] = {}
        self.folders: dict[str, None] = {}
        self.modules: dict[str, str] = {}
        self.left_out: dict[str, str] = {}


def project_root(file: str) -> str:
    """The project of a file: the nearest folder upward that is a repository or a Python project, else the nearest that
    has a ``.headrace``, else the file's own, or that above the package which the file is a part of."""
    start = os.path.dirname(os.path.abspath(file)) if file else _cwd()
    folder, home = start, ""
    while file and os.path.exists(os.path.join(start, "__init__.py")) and start != os.path.dirname(start):
        start = os.path.dirname(start)
    while True:
        for mark in _ROOT_MARKS:
            if os.path.exists(os.path.join(folder, mark)):
                return folder
        if not home and os.path.exists(os.path.join(folder, ".headrace")):
            home = folder
        parent = os.path.dirname(folder)
        if parent == folder or os.path.ismount(folder):
            return home or start
        folder = parent


def collect(file: str, rules: CodeRules, added: Iterable[tuple[str, str]] = ()) -> Collected:
    """The files that the flow in ``file`` needs; ``file`` is ``""`` in a notebook or at a prompt.

    ``added`` are files that a dialect names, each with its place seen from the folder of ``file``.

    Raises:
        CodePackageError: a file that was asked for by name cannot be in a package, or all are too large together.
    """
    return _Collector(os.path.abspath(file) if file else "", rules).collect(added)


class _Collector:
    def __init__(self, file: str, rules: CodeRules) -> None:
        self._file = file
        self._rules = rules
        root = rules.root or project_root(file)
        script = os.path.relpath(file, root) if file else ""
        self._found = Collected(root, script, KnownFiles(_known_file(rules.known, root)))
        self._below = os.path.join(root, "")
        self._search = _search_folders(os.path.dirname(file) if file else "", root)
        self._listed: dict[str, frozenset[str]] = {}
        self._outside: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._tops: dict[str, str] = {}  # by file: the folder of ``sys.path`` that leads to it
        self._total = 0
        self._todo: list[tuple[str, tuple[str, ...]]] = []

    def collect(self, added: Iterable[tuple[str, str]]) -> Collected:
        found = self._found
        loaded = _loaded_user_modules()
        found.module = _name_of(self._file, loaded) if self._file else ""
        if found.module:
            self._add_loaded(found.module, self._file)
        elif self._file:
            self._add_module(self._file, os.path.dirname(self._file))
        found.script = self._places.get(self._file) or found.script
        for name, path in loaded:
            if path.startswith(self._below):
                self._add_loaded(name, path)
        home = os.path.dirname(self._file)
        for place, path in added:
            self._add_other(os.path.relpath(os.path.normpath(os.path.join(home, place)), found.root), path)
        self._follow_imports()
        for pattern in self._rules.include:
            self._include(pattern)
        if not self._file:
            self._add_cells()
        self._check_total()
        return found

    # --- modules --------------------------------------------------------------------------------------------------

    def _add_loaded(self, name: str, path: str) -> None:
        """A module that is imported; its name says which folder of ``sys.path`` it came from."""
        stem, tail = os.path.splitext(path)[0], name.replace(".", os.sep)
        if os.path.basename(stem) == "__init__":
            stem = os.path.dirname(stem)
        elif path.endswith(".so"):
            stem = os.path.join(os.path.dirname(path), os.path.basename(path).partition(".")[0])
        if stem.endswith(os.sep + tail):
            self._add_module(path, stem[: -len(tail) - 1])
        elif name != "__main__":
            place = self._add_module(path, os.path.dirname(path))
            if place:
                self._found.modules[name] = place

    def _add_module(self, path: str, folder: str) -> str:
        """Add the file of a module that a folder of ``sys.path`` leads to, and say where it is; ``""`` for nowhere."""
        known = self._places.get(path)
        if known is not None:
            return known
        top = self._place_of_folder(folder)
        place = os.path.relpath(path, folder) if not top else os.path.join(top, os.path.relpath(path, folder))
        if self._excluded(place, path):
            return ""
        self._places[path] = place
        self._tops[path] = folder
        if not self._add(place, path, parse=path.endswith(".py")):
            self._places[path] = ""
            return ""
        self._found.folders[top] = None
        parent = os.path.dirname(path)
        while len(parent) > len(folder):  # the packages that it is in
            if "__init__.py" in self._names(parent):
                self._add_module(os.path.join(parent, "__init__.py"), folder)
            parent = os.path.dirname(parent)
        return place

    def _place_of_folder(self, folder: str) -> str:
        if folder == self._found.root:
            return ""
        if folder.startswith(self._below):
            return os.path.relpath(folder, self._found.root)
        place = self._outside.get(folder)
        if place is None:
            name = os.path.basename(folder) or "root"
            taken = set(self._outside.values())
            place = f"{OUTSIDE}/{name}"
            number = 1
            while place in taken:
                number += 1
                place = f"{OUTSIDE}/{name}-{number}"
            self._outside[folder] = place
        return place

    def _follow_imports(self) -> None:
        while self._todo:
            path, names = self._todo.pop()
            for name in names:
                if name[0] == ".":
                    self._follow_relative(path, name)
                else:
                    self._follow(name)

    def _follow(self, name: str) -> None:
        head = name.partition(".")[0]
        if head in sys.stdlib_module_names or head == "headrace":
            return
        loaded = sys.modules.get(name)
        path = module_file(loaded) if isinstance(loaded, ModuleType) else ""
        if path:
            if is_user_file(path) and path not in self._places:
                self._add_loaded(name, path)
            return
        top = sys.modules.get(head)
        if isinstance(top, ModuleType):
            top_file = module_file(top)
            if top_file and not is_user_file(top_file):
                return
        parts = name.split(".")
        for folder in self._search:
            if self._find(folder, folder, parts):
                return

    def _follow_relative(self, path: str, name: str) -> None:
        tail = name.lstrip(".")
        package = path
        for _ in range(len(name) - len(tail)):
            package = os.path.dirname(package)
        top = self._tops[path]
        if package.startswith(os.path.join(top, "")):
            parts = package[len(top) :].strip(os.sep).split("/")
            self._find(top, top, [*parts, *tail.split(".")] if tail else parts)

    def _find(self, top: str, folder: str, parts: list[str]) -> bool:
        """Add the files of the module that ``parts`` name in ``folder``, as far as they are there."""
        name, rest = parts[0], parts[1:]
        names = self._names(folder)
        if name == "*":
            for one in names:
                if one.endswith(".py"):
                    self._add_module(os.path.join(folder, one), top)
            return True
        if name in names:
            below = os.path.join(folder, name)
            inner = self._names(below)
            if "__init__.py" in inner:
                self._add_module(os.path.join(below, "__init__.py"), top)
            if rest and self._find(top, below, rest):
                return True
            if "__init__.py" in inner:
                return True
        for suffix in _SUFFIXES:
            if f"{name}{suffix}" in names:
                self._add_module(os.path.join(folder, f"{name}{suffix}"), top)
                return True
        return False

    def _names(self, folder: str) -> frozenset[str]:
        """What is in a folder."""
        known = self._listed.get(folder)
        if known is None:
            try:
                names = os.listdir(folder)
            except OSError:
                names = []
            known = self._listed[folder] = frozenset(names)
        return known

    # --- other files ----------------------------------------------------------------------------------------------

    def _include(self, pattern: str) -> None:
        from headrace.services.code import patterns

        literal, some = patterns.is_literal(pattern), False
        for place, usable in patterns.found(self._found.root, pattern):
            path = os.path.join(self._found.root, place)
            if place in self._found.files or self._excluded(place, path) or self._skipped(path):
                some = True
                continue
            some |= usable
            named = literal and place == patterns.check_pattern(pattern)
            try:
                if not usable:
                    files.look_at(path, self._rules.file_limit)
                    raise files.Refused("is a link that leads out of the project, or in a circle")
                self._look(place, path)
            except files.Refused as reason:
                if named or usable:
                    raise CodePackageError(_asked_for(place, pattern, reason)) from None
                self._found.left_out[place] = str(reason)
        if literal and not some and pattern not in self._found.left_out:
            raise CodePackageError(_asked_for(pattern, pattern, files.Refused("does not exist")))

    def _add_other(self, place: str, path: str) -> None:
        try:
            if is_safe(place) and place not in self._found.files:
                self._look(place, path)
        except files.Refused as reason:
            self._found.left_out[place] = str(reason)

    def _add_cells(self) -> None:
        """What was entered in a notebook, as far as it is kept."""
        namespace = sys.modules["__main__"].__dict__
        cells = namespace.get("In") if "get_ipython" in namespace else None
        for number, text in enumerate(cells if isinstance(cells, list) else ()):
            if isinstance(text, str) and text.strip():
                content = text.encode(errors="replace")
                self._found.files[f"{CELLS}/{number:04}.py"] = Found("", len(content), False, content)

    # --- one file -------------------------------------------------------------------------------------------------

    def _excluded(self, place: str, path: str) -> bool:
        if not self._rules.exclude or path == self._file:
            return False
        from headrace.services.code.patterns import matches

        return matches(place, self._rules.exclude)

    def _skipped(self, path: str) -> bool:
        return any(files.is_below(path, folder) for folder in self._rules.skipped)

    def _add(self, place: str, path: str, *, parse: bool) -> bool:
        """Add the file of a module, or say why it is left out."""
        try:
            self._look(place, path, parse=parse)
        except files.Refused as reason:
            self._found.left_out[place] = str(reason)
            return False
        return True

    def _look(self, place: str, path: str, *, parse: bool = False) -> None:
        if not is_safe(place):
            raise files.Refused("has a name that is not UTF-8, or has control characters in it")
        limit, known = self._rules.file_limit, self._found.known
        status = files.look_at(path, limit)
        found = Found(path, status.st_size, bool(status.st_mode & 0o100))
        kept = known.get(path, files.stamp_of(status))
        self._total += found.size
        if kept is not None:
            found.digest, found.imports = kept.digest, kept.imports
        elif found.size <= _HELD and self._total <= self._rules.limit:
            found.content, found.stamp = files.read(path, limit)
            found.size = found.stamp[0]
            found.imports = _imports(found.content) if parse else ()
        elif not os.access(path, os.R_OK):
            raise files.Refused("cannot be read (Permission denied)")
        self._found.files[place] = found
        if found.imports:
            self._todo.append((path, found.imports))

    def _check_total(self) -> None:
        sizes = {place: one.size for place, one in self._found.files.items()}
        total = sum(sizes.values())
        if total <= self._rules.limit:
            return
        from headrace._base.sizes import format_size

        largest = sorted(sizes, key=lambda place: -sizes[place])[:3]
        listed = ", ".join(f"{place} ({format_size(sizes[place])})" for place in largest)
        raise CodePackageError(
            f"the code package has {format_size(total)}, and code_limit is {format_size(self._rules.limit)}; its "
            f"largest files are {listed}. Leave files out with `exclude` in [tool.headrace], or raise code_limit there"
        )


def _asked_for(place: str, pattern: str, reason: files.Refused) -> str:
    return (
        f"{place} {reason}, and `include` in [tool.headrace] asks for it with {pattern!r}; leave it out with "
        "`exclude`, or change `include`"
    )


def _imports(content: bytes) -> tuple[str, ...]:
    from headrace.services.code.imports import imported_names

    return imported_names(content.decode(errors="replace"))


def _known_file(folder: str, root: str) -> str:
    if not folder:
        return ""
    from blake3 import blake3

    return os.path.join(folder, f"{blake3(root.encode(errors='surrogateescape')).hexdigest()[:16]}.known")


def module_of(file: str) -> str:
    """The name of the module that was loaded from ``file``; ``""`` where it has none that another process can use."""
    return _name_of(file, _loaded_user_modules())


def _name_of(file: str, loaded: list[tuple[str, str]]) -> str:
    return next((name for name, path in loaded if path == file and name != "__main__"), "")


def _loaded_user_modules() -> list[tuple[str, str]]:
    """The user's modules that are imported, by name and file."""
    standard, foreign = sys.stdlib_module_names, {"headrace"}
    found = []
    for name, module in list(sys.modules.items()):
        head = name.partition(".")[0]
        if head in standard or head in foreign or not issubclass(type(module), ModuleType):
            continue
        path = module_file(module)
        if path and is_user_file(path):
            found.append((main_name() if name == "__main__" else name, path))
        elif path and name == head:
            foreign.add(head)
    return found


def _search_folders(home: str, root: str) -> list[str]:
    """Folders of the user's in which an import looks."""
    found: dict[str, None] = {home: None} if home else {}
    for entry in sys.path:
        folder = os.path.abspath(entry or _cwd())
        if folder not in found and is_user_file(os.path.join(folder, "")) and os.path.isdir(folder):
            found[folder] = None
    found[root] = None
    return list(found)


def _cwd() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:  # deleted under us
        return ""
