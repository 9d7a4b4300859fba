"""Building environments into a cache folder, each once, whoever else needs the same one at that moment.

An environment is built under another name, behind a file lock, and renamed into place when it is whole; its mark, which
is written last, says what it was made of. So a process that dies in between leaves a draft that nobody uses; the next
one that builds the same environment removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from blake3 import blake3

from headrace._base.variables import POD
from headrace._version import __version__
from headrace.model.environments import EnvironmentLock
from headrace.model.errors import EnvironmentSetupError
from headrace.services.environments.installed import copy_packages
from headrace.services.environments.interpreters import Interpreter, find_interpreter
from headrace.services.environments.locking import BESIDE, NEEDED
from headrace.services.environments.uv import UvError, run_uv, trusted_hosts, without_trusted_hosts

MARK = "headrace-environment"
#: The folder of Headrace itself.
CODE = Path(__file__).resolve().parents[2]


class Built(NamedTuple):
    """An environment on this machine: its folder, its interpreter, and the folders that have what workers need."""

    folder: str
    python: str
    beside: tuple[str, ...]


class Mark(msgspec.Struct):
    """What an environment was made of; ``interpreter`` is the executable that it stands on, with its time and size.

    ``size`` is what its files hold, in bytes, whether or not other environments share them.
    """

    lock: EnvironmentLock
    interpreter: str
    stamp: tuple[int, int]
    size: int = 0


def find_built(lock: EnvironmentLock, cache: str, extra: tuple[str, ...] = ()) -> Built | None:
    """The environment of a lock, if it has been built and stands on the interpreter that it was built for.

    ``extra`` are requirements of workers beside those that all have, such as that of a store's client.
    """
    folder = _folder(lock, cache)
    mark = mark_of(folder)
    if mark is None or mark.stamp != _stamp(mark.interpreter):
        return None
    beside = _beside(lock, cache, extra)
    with contextlib.suppress(OSError):  # removed, or read only
        os.utime(folder / MARK)  # one that is used is not one to remove
    return Built(str(folder), str(folder / "bin" / "python"), beside) if _is_runtime(Path(beside[0])) else None


def build(lock: EnvironmentLock, cache: str, tell: Callable[[str], None], extra: tuple[str, ...] = ()) -> Built:
    """The environment of a lock, which is built unless it is there. ``tell`` hears what is being done.

    ``extra`` as for ``find_built``.

    Raises:
        EnvironmentSetupError: it cannot be built here; the message has what uv says.
    """
    found = find_built(lock, cache, extra)
    if found is not None:
        return found
    try:
        Path(cache).mkdir(0o700, parents=True, exist_ok=True)
        interpreter = find_interpreter(lock.program or lock.python)
        if interpreter.version != lock.python:
            raise EnvironmentSetupError(
                f"the environment {lock.label} is locked for Python {lock.python}, and {interpreter.path} is "
                f"{interpreter.version} now; lock it again: headrace env lock --upgrade"
            )
        _provide_runtime(lock, ["--python", interpreter.path], cache, extra)
        with _alone(_folder(lock, cache)) as folder:
            found = find_built(lock, cache, extra)
            if found is None:
                _build(lock, interpreter, folder, tell)
    except UvError as error:
        raise EnvironmentSetupError(f"the environment {lock.label} cannot be built. uv says:\n{error}") from None
    except OSError as error:
        raise EnvironmentSetupError(
            f"the environment {lock.label} cannot be written to {cache}: {error.strerror or error}"
        ) from None
    found = find_built(lock, cache, extra)
    if found is None:
        raise EnvironmentSetupError(f"the environment {lock.label} was removed from {cache} while it was built")
    return found


def _build(lock: EnvironmentLock, interpreter: Interpreter, folder: Path, tell: Callable[[str], None]) -> None:
    count = len(lock.packages)
    tell(f"building environment {lock.label}: Python {interpreter.version}, {count} package{'s'[: count != 1]}")
    began = time.monotonic()
    draft = _draft_of(folder)
    run_uv(["venv", "--quiet", "--relocatable", "--no-project", "--python", interpreter.path, str(draft)])
    if lock.requirements.strip():
        requirements = draft / "requirements.txt"
        requirements.write_text(without_trusted_hosts(lock.requirements))
        told = ["--requirements", str(requirements), *trusted_hosts(lock.requirements)]
        python = str(draft / "bin" / "python")
        run_uv(["pip", "install", "--no-deps", "--python", python, *told], tell=tell)
    base = os.path.realpath(draft / "bin" / "python")
    mark = Mark(lock, base, _stamp(base), _size_of(draft))
    (draft / MARK).write_bytes(msgspec.msgpack.encode(mark))
    _replace(draft, folder)
    tell(f"built environment {lock.label} in {time.monotonic() - began:.1f} s")


def _replace(draft: Path, folder: Path) -> None:
    """Let a draft take the place of what is there, which workers may still run from."""
    if folder.exists():
        folder.rename(_draft_of(folder))
    draft.rename(folder)
    for old in folder.parent.glob(f"{folder.name}.draft-*"):
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """While no other process builds ``folder``; drafts that a dead one left are removed."""
    folder.parent.mkdir(0o700, parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # ends with the process
        for old in folder.parent.glob(f"{folder.name}.draft-*"):
            shutil.rmtree(old, ignore_errors=True)
        try:
            yield folder
        except BaseException:
            for old in folder.parent.glob(f"{folder.name}.draft-*"):
                shutil.rmtree(old, ignore_errors=True)
            raise


def _draft_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.draft-{os.getpid()}-{os.urandom(4).hex()}")


def _folder(lock: EnvironmentLock, cache: str) -> Path:
    return Path(cache, "built", lock.digest.hex()[:32])


def _size_of(folder: Path) -> int:
    return sum(
        os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118
        for place, _, names in os.walk(folder)
        for name in names
    )


def hold(built: Built) -> int:
    """Keep others from removing an environment while the returned descriptor is open."""
    descriptor = os.open(f"{built.folder}.used", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # nobody has it for long
    return descriptor


def mark_of(folder: Path) -> Mark | None:
    """What says that a folder is a whole environment; None where it is not."""
    try:
        return msgspec.msgpack.decode((folder / MARK).read_bytes(), type=Mark)
    except (OSError, msgspec.DecodeError):
        return None


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


# --- what workers need beside the packages -------------------------------------------------------------------------


def _beside(lock: EnvironmentLock, cache: str, extra: tuple[str, ...]) -> tuple[str, ...]:
    """The folder with what Headrace needs on this interpreter, itself included. It comes last on ``sys.path``."""
    facts = (lock.minor, lock.platform, __version__, str(CODE), NEEDED, BESIDE, extra, lock.beside)
    key = blake3(repr(facts).encode()).hexdigest()[:16]
    return (str(Path(cache, "runtime", f"{lock.minor[0]}.{lock.minor[1]}-{key}")),)


def _is_runtime(folder: Path) -> bool:
    return (folder / MARK).exists() and (folder / "headrace").exists()


def has_runtime(lock: EnvironmentLock, cache: str, extra: tuple[str, ...] = ()) -> bool:
    """Whether the folder that ``runtime_of_image`` makes is there."""
    return _is_runtime(Path(_beside(lock, cache, extra)[0]))


def runtime_of_image(
    lock: EnvironmentLock, cache: str, extra: tuple[str, ...] = (), *, whole: bool = False
) -> tuple[str, ...]:
    """The folder with what workers need beside the packages of an image, for its Python; ``extra`` as elsewhere.

    With ``whole`` Headrace itself is in the folder, for containers that do not see it where it is.

    Raises:
        EnvironmentSetupError: it cannot be made; the message has what uv says.
    """
    system = "unknown-linux-musl" if lock.platform.endswith("-musl") else "unknown-linux-gnu"
    machine = lock.platform.removesuffix("-musl").partition("-")[2]
    version = f"{lock.minor[0]}.{lock.minor[1]}"
    told = ["--python-version", version, "--python-platform", f"{machine}-{system}", "--only-binary", ":all:"]
    try:
        Path(cache).mkdir(0o700, parents=True, exist_ok=True)
        _provide_runtime(lock, told, cache, extra, whole=whole)
    except UvError as error:
        raise EnvironmentSetupError(
            f"{lock.label}: what workers need for its Python {lock.python} cannot be installed. uv says:\n{error}"
        ) from None
    except OSError as error:
        raise EnvironmentSetupError(f"{lock.label}: {cache} cannot be written: {error.strerror or error}") from None
    return (*_beside(lock, cache, extra), *([lock.beside] if lock.beside else []))


def _provide_runtime(
    lock: EnvironmentLock, told: Sequence[str], cache: str, extra: tuple[str, ...], *, whole: bool = False
) -> None:
    """Install what workers need into a folder of its own, once for all environments of a version of Python."""
    target = Path(_beside(lock, cache, extra)[0])
    if _is_runtime(target):
        return
    with _alone(target) as folder:
        if _is_runtime(folder):
            return
        draft = _draft_of(folder)
        needed = [*NEEDED, *BESIDE, *extra, *(["exceptiongroup>=1.2"] if lock.minor < (3, 11) else [])]
        if lock.beside:  # the image has them
            draft.mkdir()
        elif not (whole or POD in os.environ) or not copy_packages(lock, needed, draft):
            run_uv(["pip", "install", "--quiet", *told, "--target", str(draft), *needed])
        if whole:
            shutil.copytree(CODE, draft / "headrace", ignore=shutil.ignore_patterns("static"))
        else:
            (draft / "headrace").symlink_to(CODE)
        (draft / MARK).write_text(f"{sys.version}\n")
        _replace(draft, folder)
