"""From ``train.py``, ``train.py:name`` or ``package.module:name`` to the flow object that is meant.

The command line loads the user's file here, and the local executor loads it again in the process it forks workers
from. Mistakes in the file end in a ``FlowLoadError`` that shows the user's lines and none of Headrace.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import CodeType, FunctionType, ModuleType, TracebackType
from typing import Any

import msgspec

from headrace._base.usercode import is_user_file, module_file
from headrace.frontends.native.script import prune
from headrace.model.errors import FlowLoadError
from headrace.services.mainmodule import canonical_main as canonical_main

_loading: list[str] = []


class LoadedFlow(msgspec.Struct, frozen=True):
    """A flow found: ``entry`` (``/path/file.py:name`` or ``package.module:name``) finds it again."""

    flow: Any
    module: ModuleType
    entry: str


def load_flow(target: str) -> LoadedFlow:
    """Load what ``target`` names: a file or a dotted module, with or without ``:flow``.

    Raises:
        FlowLoadError: there is no such file, module or flow, the choice is not clear, or importing it failed.
    """
    head, colon, name = target.rpartition(":")
    if not colon or not all(part.isidentifier() for part in name.split(".")):
        head, name = target, ""
    if not head:
        raise FlowLoadError(f"{target!r} names no file; write FILE.py or FILE.py:FLOW")
    if head.endswith(".py") or os.sep in head or Path(head).exists():
        return load_file(head, name or None)
    module = import_module(head)
    return _choose(module, name or None, head, head)


def load_file(path: str | Path, name: str | None = None) -> LoadedFlow:
    """Import the Python file at ``path`` and find the flow ``name`` in it, or the only one.

    Raises:
        FlowLoadError: as ``load_flow``.
    """
    module = import_file(path)
    return _choose(module, name, str(path), module_file(module))


def currently_loading() -> str:
    """The file that is being imported now, or ``""``. A flow called meanwhile lacks its ``__main__`` guard."""
    return _loading[-1] if _loading else ""


# --- importing ----------------------------------------------------------------------------------------------------


def import_file(path: str | Path) -> ModuleType:
    """The module of a Python file, under the stem of its name, with its folder first on ``sys.path``.

    As by ``python FILE``, except that ``__name__`` is not ``"__main__"``. A file that is imported already is not
    run again. A stem that is the name of another module gets a prefix. Part of a package, and in need of it, it is
    imported under its full name, as by ``python -m``.

    Raises:
        FlowLoadError: no such file, not Python, or an error in it.
    """
    full = os.path.abspath(path)  # noqa: PTH100 - ``resolve`` would follow links, and ``__file__`` does not
    source = _read(str(path), full)
    folder, stem = os.path.dirname(full), os.path.splitext(os.path.basename(full))[0]  # noqa: PTH119,PTH120,PTH122
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    name = stem.replace(".", "_")
    loaded = sys.modules.get(name)
    if loaded is not None and module_file(loaded) == full:
        return loaded
    if loaded is not None or name in sys.stdlib_module_names:
        name = f"flow_{name}"
        loaded = sys.modules.get(name)
        if loaded is not None and module_file(loaded) == full:
            return loaded
    try:
        return _run(name, full, str(path), source)
    except FlowLoadError as error:
        root, dotted = _place_in_package(full)
        if not dotted or not isinstance(error.__cause__, ImportError):
            raise
    sys.path[0] = root
    return import_module(dotted)


def _place_in_package(full: str) -> tuple[str, str]:
    """The folder above the package that a file is part of, and its dotted name in it; empty when it is in none."""
    folder, file = os.path.split(full)
    parts = [os.path.splitext(file)[0]]  # noqa: PTH122
    while os.path.exists(os.path.join(folder, "__init__.py")):  # noqa: PTH110, PTH118
        folder, name = os.path.split(folder)
        parts.insert(0, name)
    return (folder, ".".join(parts)) if len(parts) > 1 else ("", "")


def _read(shown: str, full: str) -> bytes:
    file = Path(full)
    if file.is_dir():
        raise FlowLoadError(f"{shown} is a folder; name the Python file in it that holds the flow")
    if not file.exists():
        raise FlowLoadError(f"no such file: {shown}{_near_file(file)}")
    if file.suffix != ".py":
        advice = "; export the notebook as a .py file, or run its cells" if file.suffix == ".ipynb" else ""
        raise FlowLoadError(f"{shown} is not a Python file: its name must end in .py{advice}")
    try:
        return file.read_bytes()
    except OSError as error:
        raise FlowLoadError(f"cannot read {shown}: {error.strerror}") from None


def _near_file(file: Path) -> str:
    from difflib import get_close_matches

    try:
        names = [entry.name for entry in file.parent.iterdir() if entry.suffix == ".py"]
    except OSError:
        return ""
    near = get_close_matches(file.name, names, 1) or get_close_matches(f"{file.name}.py", names, 1, 0.9)
    return f"; did you mean {file.parent.joinpath(near[0]).name}?" if near else ""


def _run(name: str, full: str, shown: str, source: bytes) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    # Compiled here, never from __pycache__: the cache tells versions apart by whole seconds, and an edit followed by
    # a run may be quicker than that.
    code = _compile(source, full, shown)
    spec = spec_from_file_location(name, full)
    if spec is None:
        raise FlowLoadError(f"{shown} cannot be imported")
    module = sys.modules[name] = module_from_spec(spec)
    _loading.append(full)
    done = False
    try:
        exec(code, module.__dict__)
        done = True
    except SystemExit as error:
        raise FlowLoadError(
            f"{shown} ends the program while it is imported (exit code {error.code}); "
            'put what it should do as a script under: if __name__ == "__main__":'
        ) from None
    except Exception as error:
        raise FlowLoadError(f"{shown} cannot be imported:\n{_user_traceback(error, full)}") from error
    finally:
        _loading.pop()
        if not done:
            sys.modules.pop(name, None)
    return module


def _compile(source: bytes, full: str, shown: str) -> CodeType:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return compile(source, full, "exec", dont_inherit=True)
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        pointer = ""
        if line:
            indent = len(line) - len(line.lstrip())
            pointer = f"\n    {line.strip()}\n    {' ' * max(0, (error.offset or 1) - 1 - indent)}^"
        raise FlowLoadError(f"{shown}:{error.lineno or 1}: {type(error).__name__}: {error.msg}{pointer}") from None
    except ValueError as error:  # null bytes
        raise FlowLoadError(f"{shown} is not Python: {error}") from None


def _user_traceback(error: BaseException, full: str | None) -> str:
    """The traceback from the user's first frame on."""
    from traceback import format_exception

    prune(error)
    trace: TracebackType | None = error.__traceback__
    while trace is not None and not _is_users(trace.tb_frame.f_code.co_filename, full):
        trace = trace.tb_next
    return "".join(format_exception(type(error), error, trace)).rstrip()


def _is_users(filename: str, full: str | None) -> bool:
    if full is not None:
        return filename == full
    return is_user_file(filename)


def import_module(name: str) -> ModuleType:
    """The module of a dotted name, looked for in the current folder too, as by ``python -m``.

    Raises:
        FlowLoadError: there is no such module, or an error in it.
    """
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise FlowLoadError(f"no such file: {name}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return _imported(name)


def load_installed(file: str, module: str, name: str) -> LoadedFlow:
    """The flow ``name`` of recorded code, which is on ``sys.path``: as ``module``, the name that it had in its run, so
    that its steps are the same; else from ``file``.

    Raises:
        FlowLoadError: it cannot be imported, or holds the flow no more.
    """
    if not module:
        return load_file(file, name)
    return _choose(_imported(module), name, file, file)


def _imported(name: str) -> ModuleType:
    import importlib

    _loading.append(name)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise FlowLoadError(f"no file and no module named {name!r} here") from None
        raise FlowLoadError(f"{name} cannot be imported:\n{_user_traceback(error, None)}") from error
    except SystemExit as error:
        raise FlowLoadError(f"{name} ends the program while it is imported (exit code {error.code})") from None
    except Exception as error:
        raise FlowLoadError(f"{name} cannot be imported:\n{_user_traceback(error, None)}") from error
    finally:
        _loading.pop()


# --- finding ------------------------------------------------------------------------------------------------------


def find_flows(module: ModuleType) -> dict[str, Any]:
    """The flows that ``module`` defines, by the name of the variable; those it imported are not among them."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for name, value in module.__dict__.items():
        if is_flow(value) and id(value) not in seen and _home(value) in (module.__name__, ""):
            seen.add(id(value))
            found[name] = value
    return found


def is_flow(value: object) -> bool:
    """Whether ``value`` is a flow object, of any dialect."""
    return getattr(type(value), "__headrace_flow__", False) is True


def _home(value: Any) -> str:
    """The module in which the function behind a flow was defined."""
    inner = getattr(value, "__wrapped__", None)
    home = getattr(inner, "__module__", None) if inner is not None else vars(value).get("__module__")
    return home if isinstance(home, str) else ""


def _choose(module: ModuleType, name: str | None, shown: str, entry: str) -> LoadedFlow:
    flows = find_flows(module)
    if name is not None:
        return LoadedFlow(_named(module, name, shown, flows), module, f"{entry}:{name}")
    if len(flows) == 1:
        [(only, flow)] = flows.items()
        return LoadedFlow(flow, module, f"{entry}:{only}")
    if flows:
        choices = "\n".join(f"  {shown}:{one}" for one in flows)
        raise FlowLoadError(f"{shown} holds {len(flows)} flows; say which one:\n{choices}")
    functions = _functions(module)
    listed = f" Functions in it: {', '.join(functions)}." if functions else ""
    raise FlowLoadError(f"no flow in {shown}: put @flow (from headrace import flow) above the function to run.{listed}")


def _functions(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in module.__dict__.items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    ]


def _named(module: ModuleType, name: str, shown: str, flows: dict[str, Any]) -> Any:
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part, None)
    if value is not None and is_flow(value):
        return value
    for flow in flows.values():
        if getattr(flow, "name", None) == name:
            return flow
    there = f"; flows in it: {', '.join(flows)}" if flows else ""
    if value is None:
        raise FlowLoadError(f"no flow {name!r} in {shown}{there or _no_flows(module)}")
    what = "function: put @flow above it" if isinstance(value, FunctionType) else type(value).__name__
    raise FlowLoadError(f"{name!r} in {shown} is not a flow but a {what}{there}")


def _no_flows(module: ModuleType) -> str:
    functions = _functions(module)
    return f"; functions in it: {', '.join(functions)}" if functions else ""
