"""Files that belong to a flow: those of its folder by their suffixes, and what mutators add with ``add_to_package``."""

# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH117, PTH118, PTH119, PTH120 - paths are texts, as users get and give them

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from types import ModuleType
from typing import Any

from headrace.frontends.metaflow.authoring.userdecorators import FlowMutator
from headrace.frontends.metaflow.exceptions import MetaflowException
from headrace.frontends.metaflow.settings import DEFAULTS, from_conf
from headrace.services.code import files

_SUFFIXES = "DEFAULT_PACKAGE_SUFFIXES"


class ContentType(IntEnum):
    """What a file of a package is: it decides in which folder of it the file stands."""

    USER_CONTENT = 1
    CODE_CONTENT = 2
    MODULE_CONTENT = 4
    OTHER_CONTENT = 8
    ALL_CONTENT = 15


_FOLDERS = {ContentType.USER_CONTENT: "", ContentType.OTHER_CONTENT: ".mf_meta"}
_CODE = ".mf_code"


def default_suffixes() -> list[str]:
    """Suffixes of files that are code, by the settings."""
    return split_suffixes(from_conf(_SUFFIXES, DEFAULTS[_SUFFIXES]))


def split_suffixes(text: str) -> list[str]:
    """Suffixes of a list with commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


def folder_of(cls: Any) -> tuple[str, str]:
    """The folder of a flow's file, and the file's name."""
    file = getattr(sys.modules[cls.__module__], "__file__", "") or sys.argv[0]
    folder, name = os.path.split(os.path.abspath(file))
    return folder, name


def walk(folder: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """The files below ``folder`` whose names are wanted, with their path from there; hidden ones are left out.

    Links are followed wherever they lead, as Metaflow does; what is not a file is left out.
    """
    for path, usable in files.walk(folder, os.sep):
        if usable and wanted(os.path.basename(path)):
            yield path, os.path.relpath(path, folder)


def with_suffixes(suffixes: Iterable[str]) -> Callable[[str], bool]:
    """Whether a name ends with one of them, in whatever case."""
    endings = tuple(one.lower() for one in suffixes)
    return lambda name: name.lower().endswith(endings)


def contributed(cls: Any) -> dict[str, str]:
    """What the mutators of a flow and of its steps add to its package: files by their path in it.

    Raises:
        MetaflowException: two of them put different files in one place, or one is none.
    """
    seen: dict[int, Any] = {id(one): one for kind in cls.__mro__[::-1] for one in vars(kind).get("_flow_mutators", ())}
    seen |= {id(one): one for function in cls._steps.values() for one in function.config_decorators}
    found: dict[str, str] = {}
    for mutator in seen.values():
        for given in mutator.add_to_package() or ():
            content, name, kind = given if len(given) == 3 else (*given, ContentType.CODE_CONTENT)
            for path, place in _files(content, name, kind):
                if found.setdefault(place, path) != path:
                    raise MetaflowException(f"{place} of the package is both {found[place]} and {path}; rename one")
    return found


def _files(content: Any, name: str, kind: int) -> Iterator[tuple[str, str]]:
    if isinstance(content, ModuleType):
        file = content.__file__ or ""
        if os.path.basename(file) != "__init__.py":
            yield file, os.path.join(_CODE, *content.__name__.split(".")) + ".py"
            return
        for path, below in walk(os.path.dirname(file), lambda _: True):
            yield path, os.path.join(_CODE, *content.__name__.split("."), below)
        return
    path = os.path.realpath(content)
    if not os.path.isfile(path):
        raise MetaflowException(f"add_to_package names {content}, which is not a file")
    yield path, os.path.join(_FOLDERS.get(ContentType(kind), _CODE), name)


def kept_files(cls: Any, suffixes: str) -> dict[str, str]:
    """What a run keeps beside the files that it imports: what mutators add and, where suffixes were asked for, the
    files of the flow's folder that end so.

    Raises:
        MetaflowException: as ``contributed``.
    """
    asked = {*default_suffixes(), *split_suffixes(suffixes)} - {*split_suffixes(DEFAULTS[_SUFFIXES])}
    found = {name: path for path, name in walk(folder_of(cls)[0], with_suffixes(asked))} if asked else {}
    return contributed(cls) | found


class package_suffixes(FlowMutator):
    """Add the files of the flow's folder that end so to its package: ``@package_suffixes([".yaml", "json"])``."""

    def init(self, suffixes: list[str] | str) -> None:
        """Take the suffixes; the dot may be left out."""
        self._suffixes = _dotted(suffixes)

    def add_to_package(self) -> Iterator[tuple[str, str, int]]:
        """The files."""
        for path, name in walk(folder_of(self._flow_cls)[0], with_suffixes(self._suffixes)):
            yield path, name, ContentType.USER_CONTENT


class package_sources(FlowMutator):
    """Add files, or folders with the files in them that end with ``suffixes``, to the package of a flow.

    ``sources`` is a path, a pair of a path and its place in the package, or a list of these; paths are seen from the
    folder of the flow file. ``arcname`` is the place of a single one. The place of others is their name.
    """

    def init(self, sources: Any, arcname: Any = None, suffixes: list[str] | str | None = None) -> None:
        """Take the arguments.

        Raises:
            MetaflowException: a place is not within the package, or ``arcname`` is for several.
        """
        several = [sources] if isinstance(sources, (str, os.PathLike)) or _is_pair(sources) else list(sources)
        self._sources = [
            (os.fspath(one[0]), _place(one[1])) if _is_pair(one) else (os.fspath(one), "") for one in several
        ]
        if arcname is not None:
            if len(self._sources) != 1:
                raise MetaflowException("package_sources: arcname is for one path; give the others as pairs")
            self._sources = [(self._sources[0][0], _place(arcname))]
        self._wanted = with_suffixes(default_suffixes() if suffixes is None else _dotted(suffixes))

    def add_to_package(self) -> Iterator[tuple[str, str, int]]:
        """The files.

        Raises:
            MetaflowException: a path does not exist.
        """
        for source, place in self._sources:
            path = os.path.realpath(os.path.join(folder_of(self._flow_cls)[0], source))
            at = place or os.path.basename(path)
            if os.path.isdir(path):
                for file, name in walk(path, self._wanted):
                    yield file, os.path.join(at, name), ContentType.USER_CONTENT
            elif not os.path.exists(path):
                raise MetaflowException(f"package_sources source does not exist: {source}")
            elif self._wanted(os.path.basename(path)):
                yield path, at, ContentType.USER_CONTENT


def _dotted(suffixes: Iterable[str] | str) -> list[str]:
    found = suffixes.split(",") if isinstance(suffixes, str) else suffixes
    return [one if one.startswith(".") else f".{one}" for one in (name.strip() for name in found) if one]


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], (str, os.PathLike))


def _place(given: Any) -> str:
    place: str = os.path.normpath(os.fspath(given))
    if place == "." or os.path.isabs(place) or ".." in str(given).replace("\\", "/").split("/"):
        raise MetaflowException(f"package_sources: {given} is not a place within the package; give a relative path")
    return place
