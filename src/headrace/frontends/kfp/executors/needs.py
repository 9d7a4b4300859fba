"""What a component needs to run: packages, another Python, a container. The driver asks before anything runs."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import sys
from pathlib import Path

import msgspec

from headrace.frontends.kfp import placeholders
from headrace.frontends.kfp.executors.execute import function_of
from headrace.frontends.kfp.executors.frame import PythonFunction
from headrace.frontends.kfp.executors.volume_claims import is_claim
from headrace.frontends.kfp.ir import Executor
from headrace.model.environments import OLDEST_PYTHON, Environment
from headrace.model.errors import EnvironmentSetupError
from headrace.runtime.containers.engine import Engine, run_once
from headrace.runtime.containers.found import find_engine, named_engine

#: Images of Python itself, with the version of Python in them.
_PYTHON_IMAGE = re.compile(
    r"((docker\.io|public\.ecr\.aws/docker|mirror\.gcr\.io)/)?(library/)?python(:(?P<tag>[\w.-]+))?(@sha256:\w+)?"
)
_VERSION = re.compile(r"(\d+)\.(\d+)")
#: Images that the SDK writes where the component names none: they say nothing of the version that it needs.
_DEFAULT_IMAGES = frozenset(f"python:3.{minor}" for minor in (7, 8, 9, 11))


#: Instead of a program that runs containers: each task has a pod, whose image is that of its component.
PODS = "pods"


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a component's tasks run in.

    ``environment`` is that of the worker (None: the one of the run), ``image`` the image in which the worker runs, or
    with ``as_command`` in a pod, the command; it may have placeholders of inputs. ``as_command`` as in
    ``ComponentStep``. ``note`` is what users are to know, on one line; empty: nothing.
    """

    environment: Environment | None = None
    image: str = ""
    as_command: bool = False
    note: str = ""


def needs_of(executor: Executor, containers_mode: str, cache: str, task: str) -> Needs:
    """What a component with this executor needs.

    ``containers_mode`` as in ``ComponentStep``; ``cache`` is a folder for lists of requirements, ``task`` the name of
    the step, for messages.

    Raises:
        EnvironmentSetupError: it cannot run; the message says what to do.
    """
    container = executor.container
    if container is None or is_claim(executor):
        return Needs()
    told = function_of(container)
    if told is None and containers_mode == PODS:
        if not container.command:
            raise EnvironmentSetupError(
                f"{task}: its component has no command: image {container.image} says what runs, which is not known in "
                "a pod; give the component that command"
            )
        return Needs(image=container.image, as_command=True)
    if told is None:
        return Needs()
    python = _python_of(container.image)
    if python is not None or containers_mode == "host":
        version, note = _version_here(python or "", container.image)
        return Needs(environment=_environment(told, version, cache), note=f"{task}: {note}" if note else "")
    return _in_image(told, container.image, containers_mode, cache, task)


def kind_of(executor: Executor) -> str:
    """What a component is and asks for, in a few words; nothing is looked for."""
    container = executor.container
    if container is None:
        return "no container"
    if is_claim(executor):
        return "volume claim"
    told = function_of(container)
    if told is None:
        return f"container {container.image}"
    python = _python_of(container.image)
    said = f"Python in {container.image}" if python is None else f"Python {python}".strip()
    return f"{said} with {', '.join(told.packages)}" if told.packages else said


def _python_of(image: str) -> str | None:
    """The version of Python that an image stands for: empty for any; None if it has more than Python in it."""
    if not image or image in _DEFAULT_IMAGES:
        return ""
    found = _PYTHON_IMAGE.fullmatch(image)
    if found is None:
        return None
    version = _VERSION.match(found["tag"] or "")
    return f"{version[1]}.{version[2]}" if version else ""


def _version_here(version: str, image: str) -> tuple[str, str]:
    """The version to run on, empty for the one of the run, and what to tell of it."""
    if not version:
        return "", ""
    asked = tuple(map(int, version.split(".")))
    if asked == sys.version_info[:2]:
        return "", ""
    if asked < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return oldest, f"image {image} has Python {version}; components run on Python {oldest} or newer: it runs there"
    return version, ""


def _environment(told: PythonFunction, version: str, cache: str) -> Environment | None:
    """The environment for the packages of a component; None if this interpreter has them."""
    if not version and _are_here(told.packages):
        return None
    if not told.indexes and not told.trusted:
        return Environment(packages=told.packages, python=version)
    lines = [f"--{'extra-' if number else ''}index-url {url}" for number, url in enumerate(told.indexes)]
    lines += [f"--trusted-host {host}" for host in told.trusted]
    text = "\n".join([*lines, *told.packages, ""])
    file = Path(cache, "kfp", f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.txt")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text(text)
    return Environment(file=str(file), python=version, name=", ".join(told.packages[:3]))


@functools.lru_cache(maxsize=512)
def _are_here(packages: tuple[str, ...]) -> bool:
    """Whether this interpreter has what pip would install, so that pip would do nothing."""
    if not packages:
        return True
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        return False
    from importlib.metadata import PackageNotFoundError, version

    for one in packages:
        try:
            asked = Requirement(one)
            if asked.marker is not None and not asked.marker.evaluate():
                continue
            if asked.url is not None or asked.extras or not asked.specifier.contains(version(asked.name), True):
                return False
        except (InvalidRequirement, PackageNotFoundError):
            return False
    return True


def _in_image(told: PythonFunction, image: str, mode: str, cache: str, task: str) -> Needs:
    """A Python component in an image of its own: in a worker there, or as the command that it is."""
    if mode == PODS:  # packages are installed by the command, as its image has pip, which needs no Headrace
        return Needs(image=image, as_command=bool(told.packages))
    here = Needs(environment=_environment(told, "", cache))
    try:
        engine = named_engine(mode) if mode in ("podman", "docker") else find_engine()
    except EnvironmentSetupError:
        if mode != "auto":
            raise
        note = f"{task}: image {image} is not used, because neither podman nor docker is here; it runs on this machine"
        return msgspec.structs.replace(here, note=note)
    names_input = next(placeholders.find(image), None) is not None
    if engine.kind != "podman" or told.packages or names_input or not _has_new_python(engine, image, task):
        return Needs(as_command=True)
    return Needs(image=image)


def _has_new_python(engine: Engine, image: str, task: str) -> bool:
    """Whether workers run on the Python in an image.

    Raises:
        EnvironmentSetupError: the image is not here and cannot be fetched.
    """
    try:
        digest = engine.image_id(image)
    except EnvironmentSetupError as error:
        raise EnvironmentSetupError(
            f"{task}: {error}; or run its function on this machine with --containers host"
        ) from None
    return _newest_python(engine, digest) >= OLDEST_PYTHON


@functools.lru_cache(maxsize=256)
def _newest_python(engine: Engine, digest: str) -> tuple[int, ...]:
    done = run_once(engine, digest, ["python3", "-c", "import sys; print(*sys.version_info[:2])"])
    words = done.stdout.split()
    return tuple(map(int, words)) if done.returncode == 0 and len(words) == 2 else ()


def check_container(executor: Executor, containers_mode: str, task: str) -> None:
    """Find what would keep a container component from running, before anything runs: no engine, no image, no command.

    Raises:
        EnvironmentSetupError: it cannot run here; the message says what to do.
    """
    container = executor.container
    if container is None or is_claim(executor) or function_of(container) is not None:
        return
    word = next(iter((*container.command, *container.args)), "")
    if containers_mode == "host":
        _check_program(word, bool(container.command), task)
        return
    try:
        engine = named_engine(containers_mode) if containers_mode in ("podman", "docker") else find_engine()
    except EnvironmentSetupError as error:
        raise EnvironmentSetupError(
            f"{task}: its component runs in image {container.image}: {error}; or run its command on this machine with "
            "--containers host"
        ) from None
    if next(placeholders.find(container.image), None) is None:
        try:
            engine.image_id(container.image)
        except EnvironmentSetupError as error:
            raise EnvironmentSetupError(f"{task}: {error}") from None


def _check_program(word: str, has_command: bool, task: str) -> None:
    import shutil

    if not has_command:
        raise EnvironmentSetupError(
            f"{task}: its component names no command, its image would say it; it cannot run with --containers host"
        )
    path = f"{sys.prefix}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if "{{$" not in word and not word.startswith("{") and shutil.which(word, path=path) is None:
        raise EnvironmentSetupError(
            f"{task}: command {word!r} of its component is not on this machine; install it, or run the "
            "component in its image with --containers podman"
        )
