"""What ``headrace doctor`` looks at. Nothing here changes anything, except that it tries to write a blob."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from headrace import wiring
from headrace._version import __version__
from headrace.cli.places import given_options
from headrace.model.errors import HeadraceError
from headrace.services.garbage import referenced_blobs
from headrace.settings import HOME, Settings, database_file, read_settings

_LOW_DISK = 1 << 30


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at; ``advice`` says what to do when it is not ``ok``."""

    name: str
    ok: bool
    text: str
    advice: str = ""


def all_checks() -> list[Check]:
    """Everything, in the order of what depends on what."""
    checks = [_versions()]
    try:
        settings = read_settings()
    except HeadraceError as error:
        return [*checks, Check(name="settings", ok=False, text=str(error), advice="Mend or remove that setting.")]
    checks += _settings(settings)
    checks += _guarded("database", lambda: _database(settings))
    checks += _guarded("artifacts", lambda: _artifacts(settings))
    checks += _guarded("disk", lambda: _disk(settings))
    checks += _guarded("runs", lambda: _runs(settings))
    checks.append(_workers())
    checks.append(_metaflow())
    return checks


def store_checks() -> list[Check]:
    """What a worker needs, without what takes longer the more is stored: versions, and stores that answer."""
    checks = [_versions()]
    try:
        settings = read_settings()
    except HeadraceError as error:
        return [*checks, Check(name="settings", ok=False, text=str(error), advice="Mend or remove that setting.")]
    checks += _guarded("database", lambda: _answering(settings))
    return checks + _guarded("artifacts", _writable)


def _guarded(name: str, check: Callable[[], Iterator[Check]]) -> list[Check]:
    try:
        return list(check())
    except (HeadraceError, msgspec.DecodeError) as error:
        return [Check(name=name, ok=False, text=str(error), advice="headrace cannot work until this is mended.")]


def _versions() -> Check:
    python = sys.version.split(maxsplit=1)[0]
    parts = [f"headrace {__version__}", f"Python {python}", f"{sys.platform} {os.uname().machine}"]
    from importlib.metadata import PackageNotFoundError, version

    for package in ("msgspec", "cloudpickle", "blake3", "click", "rich"):
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            return Check(name="versions", ok=False, text=f"{package} is missing", advice=f"pip install {package}")
    return Check(name="versions", ok=True, text=", ".join(parts))


def _settings(settings: Settings) -> Iterator[Check]:
    given, options = read_settings({}), given_options()  # without the environment; on the command line
    start = Path.cwd()
    files = (folder / "pyproject.toml" for folder in (start, *start.parents))
    file = next((path for path in files if path.exists()), None)
    for name in Settings.__struct_fields__:
        value, variable = getattr(settings, name), f"HEADRACE_{name.upper()}"
        default = "" if name == "home" else getattr(Settings(home=""), name)
        if name in options:
            origin = f"option --{name}"
        elif "home" in options and name in ("database", "artifacts"):
            origin = "option --home"
        elif os.environ.get(variable):
            origin = f"environment: {variable}"
        elif name == "home" and Path(value).name == HOME:
            origin = "found" if Path(value).exists() else "default; will be made by the first run"
        elif getattr(given, name) != default:
            origin = f"{file}: [tool.headrace]"
        else:
            origin = "default"
        yield Check(name=f"setting {name}", ok=True, text=f"{_hidden(str(value)) or '(in home)'}  ({origin})")


def _hidden(url: str) -> str:
    """A URL without its password."""
    head, at, tail = url.rpartition("@")
    scheme, mark, user = head.partition("://")
    return f"{scheme}{mark}{user.partition(':')[0]}@{tail}" if at and mark else url


def _database(settings: Settings) -> Iterator[Check]:
    path = database_file(settings)
    if path is not None and not path.exists():
        yield Check(name="database", ok=True, text="none yet; the first run makes it")
        return
    scope = wiring.scope_here()
    began = time.perf_counter()
    count = sum(number for _, number, _ in scope.metadata.flows(scope.project))
    took = (time.perf_counter() - began) * 1e3
    yield Check(name="database", ok=True, text=f"{scope.metadata.url}: {count} runs, read in {took:.0f} ms")
    if path is not None:
        yield _integrity(path)
        writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        advice = "" if writable else f"Check the owner and mode of {path.parent}."
        yield Check(name="database writable", ok=writable, text="yes" if writable else f"{path} no", advice=advice)


def _has_database(settings: Settings) -> bool:
    path = database_file(settings)
    return path is None or path.exists()


def _integrity(path: Path) -> Check:
    import sqlite3

    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            found = [row[0] for row in connection.execute("PRAGMA quick_check(5)")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        found = [str(error)]
    ok = found == ["ok"]
    advice = "" if ok else "Stop all runs, keep a copy of the file, and import exported runs into a fresh store."
    return Check(name="database integrity", ok=ok, text="; ".join(found), advice=advice)


def _answering(settings: Settings) -> Iterator[Check]:
    path = database_file(settings)
    if path is not None:
        text = f"none that this machine shares with others: {path}"
        yield Check(name="database", ok=True, text=text)
        return
    metadata = wiring.scope_here().metadata
    began = time.perf_counter()
    metadata.projects()
    took = (time.perf_counter() - began) * 1e3
    yield Check(name="database", ok=True, text=f"{metadata.url}: answered in {took:.0f} ms")


def _writable() -> Iterator[Check]:
    store = wiring.scope_here().artifacts
    blob = store.put((b"headrace doctor was here",))
    ok = bytes(store.get(blob)) == b"headrace doctor was here"
    yield Check(name="artifacts writable", ok=ok, text=f"{_hidden(store.url)}: written and read back")


def _artifacts(settings: Settings) -> Iterator[Check]:
    if not settings.artifacts and not Path(settings.home).exists():
        yield Check(name="artifacts", ok=True, text="none yet; the first run makes the folder")
        return
    yield from _writable()
    if settings.server:
        return  # what it keeps for all projects is its own affair
    store = wiring.scope_here().artifacts
    known = {info.digest: info.size for info in store.list()}
    missing = 0
    if _has_database(settings):
        needed = referenced_blobs(wiring.scope_here().metadata, store)
        missing = len({digest for digest in needed if digest not in known})
    text = f"{len(known)} blobs, {sum(known.values()) / 2**20:,.1f} MiB" + (
        f"; {missing} are missing" if missing else ""
    )
    advice = "Tasks whose outputs are missing run again when their run is resumed." if missing else ""
    yield Check(name="artifacts", ok=not missing, text=text, advice=advice)


def _disk(settings: Settings) -> Iterator[Check]:
    place = Path(settings.home)
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    ok = free >= _LOW_DISK
    advice = "" if ok else "Make room; `headrace gc` says what can go."
    yield Check(name="disk", ok=ok, text=f"{free / 2**30:,.1f} GiB free at {place}", advice=advice)


def _runs(settings: Settings) -> Iterator[Check]:
    if not _has_database(settings):
        return
    from headrace.model.states import RunState
    from headrace.services.run_rows import driver_of
    from headrace.stores.metadata.protocol import RunFilter

    scope = wiring.scope_here()
    running = scope.metadata.runs(RunFilter(project=scope.project, states=(RunState.RUNNING,)))
    dead = [run.name for run in running if driver_of(scope.metadata, run) == "gone"]
    text = f"{len(running) - len(dead)} running"
    if dead:
        text += f"; {len(dead)} left behind by a driver that is gone: {', '.join(dead[:5])}"
    advice = f"Go on with it: headrace resume {dead[0]}; or give it up: headrace cancel {dead[0]}" if dead else ""
    yield Check(name="runs", ok=not dead, text=text, advice=advice)


def _workers() -> Check:
    from headrace._base.sizes import format_size

    here = wiring.machine()
    text = f"forked from a warm server, else from a fresh interpreter; {here.cpu:g} cores, {format_size(here.memory)}"
    return Check(name="workers", ok=True, text=f"{text}, {here.gpu} GPUs")


def _metaflow() -> Check:
    """What ``python flow.py run`` of a Metaflow file would meet; ``headrace run flow.py`` works in any case."""
    from importlib.machinery import PathFinder

    from headrace.frontends.metaflow.standin import SHIM

    found = PathFinder.find_spec("metaflow", [one for one in sys.path if one])
    place = "" if found is None or found.origin is None else str(Path(found.origin).parent)
    if place.startswith(SHIM):
        text = "`import metaflow` finds Headrace"
    elif place:
        text = f"`import metaflow` finds the package itself, in {place}; `headrace run FILE.py` runs flows here"
    else:
        text = "`import metaflow` finds nothing; headrace run FILE.py runs flows, or see `headrace dialect`"
    return Check(name="metaflow", ok=True, text=text)
