"""The versions of Python and libraries that a pickle depends on: noted when written, named when it cannot be read."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterable
from typing import Any

from headrace._base.collection import CollectionPaused
from headrace.model.errors import HeadraceError, NotLoadableError
from headrace.stores.codecs.pickling import Pickled

_PYTHON = f"python {sys.version.split(maxsplit=1)[0]}"
#: Libraries and their versions by the names of their modules; a space for what has none.
_known: dict[object, str] = {}
_MOST_KNOWN = 10_000
#: Bytes of a stream from which on it makes so many objects that the garbage collector is kept from looking at them.
_MANY_OBJECTS = 256 << 10


def made_with(pickled: Pickled) -> tuple[str, ...]:
    """The versions that may matter to who reads a pickle; none where it has built-in types and the user's own alone."""
    named = pickled.named
    modules: set[Any] = {getattr(thing, "__module__", None) for thing in (*named.firsts, *named.things)}
    found = {_known.get(module) or _version_of(module) for module in modules}
    found.discard(" ")
    if not found and not pickled.by_value:
        return ()
    return (_BY_VALUE if pickled.by_value else _PYTHON, *sorted(found))


#: Of a pickle with code in it.
_BY_VALUE = f"{_PYTHON} bytecode"


def _version_of(module: object) -> str:
    """The library of a module and its version; a space where that is none."""
    if not isinstance(module, str):
        return " "
    top = module.partition(".")[0]
    version = None
    if top not in sys.stdlib_module_names and top not in ("headrace", "__main__"):
        version = getattr(sys.modules.get(top), "__version__", None)
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[module] = f"{top} {version}" if isinstance(version, str) else " "
    return _known[module]


def load_pickle(data: bytes | memoryview, buffers: Iterable[memoryview], made: tuple[str, ...]) -> object:
    """The value again. The caller has checked every byte against its digest; ``made`` is what ``made_with`` returned.

    Raises:
        NotLoadableError: the stream names a module or class that this process cannot import, or was written with
        versions that cannot be read here; the message names those of both sides.
    """
    if made and made[0].endswith(" bytecode") and _minor(made[0].split()[1]) != sys.version_info[:2]:
        raise NotLoadableError(f"cannot load a stored value: it has code of another Python in it. {_sides(made)}")
    try:
        if len(data) < _MANY_OBJECTS:
            return _loads(data, buffers, made)
        with CollectionPaused():
            return _loads(data, buffers, made)
    except (ImportError, AttributeError) as exc:
        raise NotLoadableError(
            f"cannot load a stored value: {exc}; it needs the code and packages it was made with"
            + (f". {_sides(made)}" if made else "")
        ) from exc
    except HeadraceError:
        raise
    except Exception as exc:
        if not _differing(made):
            raise
        raise NotLoadableError(f"cannot load a stored value: {type(exc).__name__}: {exc}. {_sides(made)}") from exc


def _loads(data: bytes | memoryview, buffers: Iterable[memoryview], made: tuple[str, ...]) -> object:
    if _other_numpy(made):
        return _Renaming(io.BytesIO(data), buffers=buffers).load()
    return pickle.loads(data, buffers=buffers)


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _other_numpy(made: tuple[str, ...]) -> bool:
    """Whether a numpy with other names for its modules wrote it: they were renamed with version 2."""
    wrote = next((one for one in made if one.startswith("numpy ")), "")
    return bool(wrote) and (wrote < "numpy 2") != (_here("numpy") < "numpy 2")


class _Renaming(pickle.Unpickler):
    """Finds what is in modules of numpy under their names of here."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy.core.") and sys.modules["numpy"].__version__ >= "2":
            module = f"numpy._core.{module[11:]}"
        elif module.startswith("numpy._core."):
            module = f"numpy.core.{module[12:]}"
        return super().find_class(module, name)


def _differing(made: tuple[str, ...]) -> list[str]:
    return [one for one in made if one.removesuffix(" bytecode") != _here(one.split()[0])]


def _here(library: str) -> str:
    """The version of a library in this process."""
    if library == "python":
        return _PYTHON
    module: Any = sys.modules.get(library)
    if module is None:
        import importlib

        try:
            module = importlib.import_module(library)
        except Exception:  # whatever it does when it is imported
            return f"no {library}"
    return f"{library} {getattr(module, '__version__', 'of an unknown version')}"


def _sides(made: tuple[str, ...]) -> str:
    differing = _differing(made) or list(made)
    wrote = ", ".join([one.removesuffix(" bytecode") for one in differing])
    here = ", ".join([_here(one.split()[0]) for one in differing])
    return (
        f"It was pickled with {wrote}; here is {here}. Give both steps the same versions, or pass it in a form that "
        "does not depend on them: arrays, frames, tables, numbers, texts, files"
    )
