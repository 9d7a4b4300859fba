"""Modules of Metaflow that have no file here can be imported all the same, with all their names.

``_modules.txt`` lists the modules of Metaflow 2.19.39 with what each defines. A name that something here stands behind
is that; any other is a stand-in, which refuses to be used and says so. Modules that have a file get the names that it
lacks. ``metaflow._vendor.click`` and the like are the libraries themselves, where they are installed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import cache, partial
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_TOP = "metaflow."
_VENDOR = "_vendor."
_OURS = "headrace.frontends.metaflow."
#: Where names of ours are looked for, by what the name of the module begins with.
_PLACES = {
    "": ("exceptions",),
    "plugins.cards.": ("cards.errors", "cards.base", "cards.trials", "cards.types", "cards.parts", "cards"),
    "plugins.datatools.s3.": ("s3.objects", "s3.access"),
    "client.": ("client.runs", "client.events"),
    "runner.": ("programs.deployer", "programs.runner", "programs.notebooks"),
    "user_decorators.": ("authoring.userdecorators",),
    "user_configs.": ("authoring.configs",),
}
#: Names of ours that are called otherwise there.
_RENAMED = {
    "plugins.cards.card_modules.renderer_tools.render_safely": "cards.base.safely",
    "plugins.cards.card_modules.chevron.render": "cards.mustache.render",
    "plugins.cards.card_modules.chevron.renderer.render": "cards.mustache.render",
}


@cache
def table() -> dict[str, list[str]]:
    """The names that each module defines."""
    found: dict[str, list[str]] = {}
    for line in Path(__file__).with_name("_modules.txt").read_text().replace("\n  ", " ").splitlines():
        module, _, names = line.partition(":")
        found[module] = names.split()
    return found


class Finder:
    """Finds what no file is there for; goes before the finder of files."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """How to load a module of Metaflow; None: there is no such module."""
        if not name.startswith(_TOP):
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
            return spec
        key = name.removeprefix(_TOP)
        if key.startswith(_VENDOR):
            return ModuleSpec(name, _Library(key.removeprefix(_VENDOR)))  # type: ignore[arg-type]
        if key not in table() and key != "_vendor":
            return None
        made = ModuleSpec(name, _Loader(None))  # type: ignore[arg-type]
        if key == "_vendor" or any(one.startswith(f"{key}.") for one in table()):
            made.submodule_search_locations = []
        return made


class _Loader:
    """Runs the file of a module, if it has one, and adds what that lacks."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> Any:
        return None if self._loader is None else self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self._loader is not None:
            self._loader.exec_module(module)
        key, own = module.__name__.removeprefix(_TOP), module.__dict__.get("__getattr__")
        module.__dict__["__getattr__"] = partial(_attribute, key, own)

    def __getattr__(self, name: str) -> Any:  # the source of the file, and what else it is asked for
        if self._loader is None:
            raise AttributeError(name)
        return getattr(self._loader, name)


class _Library:
    """Gives a library that is installed, under another name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # it goes on under its own name


def _attribute(key: str, own: Any, name: str) -> Any:
    """What a module has not as it stands: what its file makes of the name, else what the table says."""
    if own is not None:
        try:
            return own(name)
        except AttributeError:
            if name not in table().get(key, ()):
                raise
    if name not in table().get(key, ()):
        raise AttributeError(f"module '{_TOP}{key}' has no attribute {name!r}")
    value = _behind(key, name)
    setattr(sys.modules[_TOP + key], name, value)
    return value


def _behind(key: str, name: str) -> Any:
    """What stands behind a name, or a stand-in."""
    full = f"{key}.{name}"
    if key == "metaflow_config":  # a setting that means nothing here
        from headrace.frontends.metaflow.settings import from_conf

        return from_conf(name, None)
    module, _, renamed = _RENAMED.get(full, "").rpartition(".")
    if module:
        return getattr(importlib.import_module(_OURS + module), renamed)
    for begins, places in _PLACES.items():
        for place in places if key.startswith(begins) else ():
            found = vars(importlib.import_module(_OURS + place)).get(name)
            if found is not None:
                return found
    return _decorator(f"{_TOP}{full}") or _stand_in(f"{_TOP}{full}", name)


def _decorator(full: str) -> Any:
    """The class of a decorator, which mutators may name; it knows its name and defaults."""
    from headrace.frontends.metaflow.authoring.decorators import FLOW_DEFAULTS, STEP_DEFAULTS, Decorator

    for known in (STEP_DEFAULTS, FLOW_DEFAULTS):
        for name, defaults in known.items():
            if Decorator(name, {}, defaults=defaults).full_name == full:
                facts = {"__module__": full.rpartition(".")[0], "name": name, "defaults": defaults}
                return type(full.rpartition(".")[2], (Decorator,), facts)
    return None


def _stand_in(full: str, name: str) -> Any:
    if name.endswith(("Exception", "Error", "Warn", "Failed", "Unavailable", "Interrupted", "NotFound")):
        from headrace.frontends.metaflow.exceptions import MetaflowException

        return type(name, (MetaflowException,), {"__module__": full.rpartition(".")[0]})
    if name[0].isupper() and not name.isupper():
        return type(name, (_Refusing,), {"__module__": full.rpartition(".")[0], "_full": full})
    made = _Refusing.__new__(_Refusing)
    made._full = full
    return made


class _Refusing:
    """Refuses whatever it is used for."""

    _full = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._refuse()

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        from headrace.frontends.metaflow.exceptions import NotSupportedException

        raise NotSupportedException(
            f"{self._full} is a part of Metaflow that Headrace does without; see docs/metaflow-features.md."
        )

    __call__ = __iter__ = __getitem__ = __enter__ = __bool__ = __len__ = __str__ = __fspath__ = __add__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()

    def __repr__(self) -> str:
        return f"<{self._full}, which Headrace does without>"


def install() -> None:
    """Have the modules found from now on."""
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)


__all__ = ["Finder", "install", "table"]
