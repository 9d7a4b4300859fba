"""Which modules are the user's own: not the standard library's, not installed, not this package's.

Fingerprints follow calls into user code only, and a run records user files only; all the rest is told apart
by the versions of installed packages. Paths are plain strings here: a run starts with hundreds of these
questions, and ``pathlib`` would take most of the time.
"""

# ruff: noqa: PTH100, PTH118, PTH119, PTH120, PTH122 - see above

from __future__ import annotations

import functools
import os
import sys
from types import ModuleType
from typing import Any

import msgspec

from headrace._base.attributes import own

_PACKAGE = __name__.partition(".")[0]
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_HERE = os.path.dirname(os.path.abspath(os.__file__))
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_FOREIGN = ("<", _OWN, _HERE + os.sep, os.path.realpath(_HERE) + os.sep)

#: Answers by module name and file: a module that is loaded again from elsewhere is judged again.
_known: dict[tuple[str, str], bool] = {}


def is_user_file(path: str) -> bool:
    """Whether ``path`` (absolute) is a file outside the standard library, this package, and all installed ones."""
    return not (path.startswith(_FOREIGN) or any(folder in path for folder in _INSTALLED))


def module_file(module: ModuleType) -> str:
    """The absolute path that ``module`` was loaded from; ``""`` for a built-in one or a notebook."""
    path = module.__dict__.get("__file__")
    return os.path.abspath(path) if isinstance(path, str) else ""


def is_user_module(name: str) -> bool:
    """Whether the loaded module ``name`` is user code.

    ``__main__`` is, and so are names without a module behind them: what ``exec`` makes in a bare namespace.
    """
    if name == "__main__":
        return True
    if name.partition(".")[0] == _PACKAGE:
        return False
    module = sys.modules.get(name)
    if module is None:
        return True
    path = module.__dict__.get("__file__")
    key = (name, path if isinstance(path, str) else "")
    known = _known.get(key)
    if known is None:
        known = _known[key] = _judge(module)
    return known


def _judge(module: ModuleType) -> bool:
    path = module.__dict__.get("__file__")
    if isinstance(path, str) and path.startswith(_FOREIGN[1:]) and ".." not in path:
        return False  # most modules, and cheaper than an absolute path
    path = module_file(module)
    if path:
        return is_user_file(path)
    folders = module.__dict__.get("__path__")
    if folders is not None:  # a namespace package
        return all(is_user_file(os.path.join(os.path.abspath(folder), "")) for folder in folders)
    spec = module.__dict__.get("__spec__")
    # A module that was made by hand (types.ModuleType) has no spec: what is in it is not installed.
    return spec is None


def main_name() -> str:
    """The name that ``__main__`` would have if it had been imported; ``"__main__"`` when it could not be.

    That is the name after ``python -m``, else the stem of its file. A notebook or a prompt has no such name, nor has
    a script whose stem is not an identifier or names a module of the standard library.
    """
    main = sys.modules.get("__main__")
    if main is None:
        return "__main__"
    spec = main.__dict__.get("__spec__")
    if spec is not None and isinstance(spec.name, str):
        return spec.name
    path = main.__dict__.get("__file__")
    return _name_of_script(path) if isinstance(path, str) else "__main__"


@functools.cache
def _name_of_script(path: str) -> str:
    stem, suffix = os.path.splitext(os.path.basename(path))
    usable = suffix == ".py" and stem.isidentifier() and stem not in sys.stdlib_module_names
    return stem if usable else "__main__"


def canonical_name(name: str) -> str:
    """``name``, but for ``__main__`` the name it would have if it had been imported."""
    return main_name() if name == "__main__" else name


def find_user_module(name: str) -> str:
    """The file of the user module ``name``, loaded or not, without running any of it; ``""`` for everything else."""
    module = sys.modules.get(name)
    if module is not None:
        return module_file(module) if is_user_module(name) else ""
    if name.partition(".")[0] == _PACKAGE:
        return ""
    from importlib.machinery import PathFinder

    folders: list[str] | None = None
    spec = None
    head = ""
    for part in name.split("."):
        head = f"{head}.{part}" if head else part
        spec = PathFinder.find_spec(head, folders)
        if spec is None:
            return ""
        folders = list(spec.submodule_search_locations or ())
    path = spec.origin if spec is not None and spec.has_location else None
    return os.path.abspath(path) if path and is_user_file(os.path.abspath(path)) else ""


class Place(msgspec.Struct, frozen=True):
    """Where a module keeps something: its name, the qualified name in it, how often ``__wrapped__`` leads on."""

    module: str
    path: str = ""
    depth: int = 0


def place_of_namespace(namespace: dict[str, Any]) -> Place | None:
    """The module of which ``namespace`` is the dictionary; None where another process could not import it."""
    name = namespace.get("__name__")
    if not isinstance(name, str):
        return None
    name = canonical_name(name)
    module = sys.modules.get(name)
    if name == "__main__" or module is None or module.__dict__ is not namespace:
        return None
    return Place(name) if isinstance(namespace.get("__file__"), str) else None


def place_of(thing: Any) -> Place | None:
    """Where a function or class is found in a module that another process can import; None where nowhere."""
    try:
        name, path = thing.__module__, thing.__qualname__
    except Exception:  # any code may stand behind an attribute of a proxy
        return None
    if not isinstance(name, str) or not isinstance(path, str):
        return None
    module = sys.modules.get(canonical_name(name))
    home = place_of_namespace(module.__dict__) if module is not None else None
    if home is None or is_guarded(thing):
        return None
    found = find_place(Place(home.module, path))
    for depth in range(8):
        if found is thing:
            return Place(home.module, path, depth)
        found = own(found, "__wrapped__")
        if found is None:
            break
    return None


def is_guarded(thing: Any) -> bool:
    """Whether a function or class is defined under ``if __name__ == "__main__":``: an import does not make it."""
    main = sys.modules.get("__main__")
    if main is None or canonical_name(thing.__module__) != main_name():
        return False
    return thing.__qualname__.partition(".")[0] in _guarded_names(module_file(main))


@functools.cache
def _guarded_names(path: str) -> frozenset[str]:
    """Functions and classes that the file defines under ``if __name__ ...:``, directly."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            lines = file.read().splitlines()
    except OSError:
        return frozenset()
    names: set[str] = set()
    margin: int | None = None  # of the statements under the guard, None outside of it
    for line in lines:
        text = line.lstrip()
        indent = len(line) - len(text)
        if text and not indent and text[0] != "#":
            margin = -1 if text.startswith("if __name__") else None
        elif text and margin is not None and text[0] != "#":
            margin = indent if margin < 0 else margin
            words = text.replace("(", " ").replace(":", " ").split()
            if indent == margin and words[:1] == ["async"]:
                del words[0]
            if indent == margin and len(words) > 1 and words[0] in ("def", "class"):
                names.add(words[1])
    return frozenset(names)


def find_place(place: Place) -> Any:
    """What is at ``place`` here, in a module that is loaded; None when nothing is."""
    found: Any = sys.modules.get(place.module)
    for part in place.path.split(".") if place.path else ():
        found = found.__dict__.get(part) if issubclass(type(found), (ModuleType, type)) else None
        if issubclass(type(found), (staticmethod, classmethod)):
            found = found.__func__
    for _ in range(place.depth):
        found = own(found, "__wrapped__")
    return found
