"""``@pypi``, ``@conda`` and their ``_base`` forms: the packages and the Python that each step asks for.

``attach_packages`` merges what flow and step ask for, as Metaflow does with ``--environment``; ``environment_of`` makes
an environment of it. Packages come from PyPI: what conda has beside it is refused by name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.frontends.metaflow.authoring.decorators import STEP_DEFAULTS, Decorator, find, flow_decorators
from headrace.frontends.metaflow.exceptions import PackagesException
from headrace.model.environments import OLDEST_PYTHON, Environment
from headrace.model.errors import DefinitionError

#: What flows get that ask for an older Python.
OLDEST = "{}.{}".format(*OLDEST_PYTHON)
#: Values of ``--environment`` with which steps get what they ask for.
PACKAGED = ("conda", "pypi")
#: What every environment has beside what the step asks for, as in Metaflow: steps may import it.
_ALWAYS = {"requests": ">=2.21.0"}
_OPERATORS = ("<", ">", "!", "~", "@")
#: Packages of conda by the name of the same software on PyPI.
_ON_PYPI = {
    "dask-core": "dask",
    "importlib_metadata": "importlib-metadata",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "opencv": "opencv-python-headless",
    "py-lightgbm": "lightgbm",
    "py-opencv": "opencv-python-headless",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "python-graphviz": "graphviz",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-lightning": "pytorch-lightning",
    "seaborn-base": "seaborn",
    "tensorflow-base": "tensorflow",
}
#: Packages of conda that are no Python packages; on PyPI there is nothing, or something else, under the name.
_NOT_PYTHON = frozenset(
    (
        *("bzip2", "cuda", "cudatoolkit", "cudnn", "curl", "ffmpeg", "fftw", "gcc", "gdal", "geos", "gfortran", "git"),
        *("glib", "graphviz", "gxx", "hdf5", "icu", "julia", "krb5", "make", "mamba", "micromamba", "mkl", "mpich"),
        *("nccl", "ncurses", "nodejs", "openblas", "openjdk", "openmpi", "openssl", "perl", "proj", "pytorch-cuda"),
        *("pytorch-gpu", "r", "readline", "rust", "scala", "sqlite", "tesseract", "texlive", "tk", "unixodbc", "wget"),
        *("xz", "zlib", "zstd"),
    )
)
_FOREIGN = re.compile(r"r-|bioconductor-|cuda-|lib(?!cst|rosa|sass|tmux|torrent)|gcc_|gxx_|xorg-|perl-")
_VERSION = re.compile(r"[\w.!+*-]+")


# --- what steps ask for -------------------------------------------------------------------------------------------


def attach_packages(cls: Any, environment: str) -> None:
    """Put the decorators on steps that those of their flow, and ``--environment``, stand for, and merge attributes.

    What a step asks for goes before what its flow does. Afterwards each decorator has ``disabled``, and those of
    conda have ``python``.
    """
    names = [one.name.removesuffix("_base") for one in flow_decorators(cls) if one.name in ("pypi_base", "conda_base")]
    if environment in PACKAGED:
        names.append("conda")
    for name in dict.fromkeys(names):
        for function in cls._steps.values():
            if find(function, name) is None:
                function.decorators.append(Decorator(name, {}, defaults=STEP_DEFAULTS[name], static=False))
    for name in ("pypi", "conda"):
        base = _base_of(cls, name)
        for function in cls._steps.values():
            one = find(function, name)
            if one is not None:
                _merge(one, base, function.name)
    cls._headrace_graph = cls._headrace_graph_info = None  # to be read again


def _base_of(cls: Any, name: str) -> dict[str, Any]:
    found = flow_decorators(cls, f"{name}_base")
    if not found:
        return {}
    attributes = found[0].attributes
    return {
        "packages": _packages(found[0], "the flow"),
        "python": attributes["python"],
        "disabled": attributes["disabled"],
    }


def _packages(one: Decorator, where: str) -> dict[Any, Any]:
    """What a decorator asks for, with what older flows call libraries.

    Raises:
        PackagesException: it is not a dictionary.
    """
    found: dict[Any, Any] = {}
    for name in ("libraries", "packages"):
        given = one.attributes.get(name) or {}
        if not isinstance(given, Mapping):
            raise PackagesException(
                f"@{one.name} of {where}: {name} must be a dictionary of names and versions, not {given!r}"
            )
        found.update(given)
    return found


def _merge(one: Decorator, base: dict[str, Any], step: str) -> None:
    attributes = one.attributes
    attributes["packages"] = {**base.get("packages", {}), **_packages(one, f"step *{step}*")}
    attributes["python"] = attributes["python"] or base.get("python")
    if attributes["disabled"] is None:
        attributes["disabled"] = base.get("disabled")
    attributes["disabled"] = attributes["disabled"] or False
    if one.name == "conda":
        attributes["libraries"] = {}
        attributes["python"] = attributes["python"] or "{}.{}.{}".format(*sys.version_info[:3])


def environment_of(function: Any) -> Environment | None:
    """The environment of a step; None where it asks for nothing, or that is disabled.

    Raises:
        PackagesException: it asks for packages of conda and of PyPI, or for what is not on PyPI.
    """
    pypi, conda = find(function, "pypi"), find(function, "conda")
    asked = [one for one in (pypi, conda) if one is not None]
    if not asked or any(str(one.attributes["disabled"]).lower() == "true" for one in asked):
        return None
    if pypi is not None and conda is not None and conda.attributes["packages"]:
        raise PackagesException(
            "Mixing and matching PyPI packages and Conda packages within a\n"
            "step is not yet supported. Use one of @pypi or @conda only."
        )
    used = asked[0]
    python = used.attributes["python"] or (conda.attributes["python"] if conda is not None else "")
    if used.name == "conda" and not used.attributes["packages"] and _is_this(python):
        return None  # every step has it with --environment=conda
    wanted = {**_ALWAYS, **_checked(function.name, used)}
    convert = _of_pypi if used.name == "pypi" else _of_conda
    packages = tuple(convert(function.name, name, version) for name, version in wanted.items())
    version = OLDEST if is_too_old(python) else str(python or "")
    try:
        return Environment(packages=packages, python=version, name=f"@{used.name}")
    except DefinitionError as error:
        raise PackagesException(f"@{used.name} of step *{function.name}*: {error}") from None


def is_too_old(python: Any) -> bool:
    """Whether no worker runs on that version of Python; flows that ask for one get ``OLDEST``."""
    parts = str(python or "").split(".")[:2]
    return len(parts) == 2 and all(part.isdigit() for part in parts) and tuple(map(int, parts)) < OLDEST_PYTHON


def asked_python(function: Any) -> str:
    """The version of Python that a step asks for; empty: none, or that is disabled."""
    for name in ("pypi", "conda"):
        one = find(function, name)
        if one is not None and str(one.attributes["disabled"]).lower() != "true" and one.attributes["python"]:
            return str(one.attributes["python"])
    return ""


def _is_this(python: Any) -> bool:
    """Whether a version of Python is that of this process, which the environment of the flow has."""
    wanted = str(python or "").split(".")
    return wanted == [""] or wanted == [str(part) for part in sys.version_info[: len(wanted)]]


def _checked(step: str, one: Decorator) -> dict[str, str]:
    found = {}
    for name, version in one.attributes["packages"].items():
        if not isinstance(name, str) or not isinstance(version, str | int | float | None):
            raise PackagesException(f"@{one.name} of step *{step}*: {name!r}: {version!r} is no package with a version")
        found[name] = "" if version is None else str(version).strip()
    return found


def _of_pypi(step: str, name: str, version: str) -> str:
    """A requirement for pip. A bare version is that one."""
    if version.startswith("@"):
        return f"{name} {version}"
    if not version or version.startswith((*_OPERATORS, "=")):
        return f"{name}{version}"
    return f"{name}=={version}"


def _of_conda(step: str, name: str, version: str) -> str:
    """A requirement for pip that means what conda would take.

    Raises:
        PackagesException: there is no such package on PyPI, or conda alone knows such versions.
    """
    channel, _, plain = name.rpartition("::")
    plain = plain.lower()
    if channel:
        raise _refused(step, name, f"it is of the channel {channel!r}, and packages come from PyPI here")
    if plain in _NOT_PYTHON or _FOREIGN.match(plain):
        raise _refused(step, name, "it is not a Python package, and packages come from PyPI here")
    versions = list(_versions(step, name, version))
    return f"{_ON_PYPI.get(plain, plain)}{','.join(versions)}"


def _versions(step: str, name: str, version: str) -> Iterator[str]:
    for part in version.split(","):
        one = part.strip()
        number = one.lstrip("<>=!~")
        operator = one[: len(one) - len(number)]
        number = number.strip()
        if not one or one == "*":
            continue
        if operator not in ("", "=", "==", "!=", "<", "<=", ">", ">=", "~=") or not _VERSION.fullmatch(number):
            raise _refused(step, name, f"{version!r} is a version as conda alone understands it")
        if operator == "=":
            yield f"=={number.removesuffix('.*').removesuffix('*')}.*"
        elif operator == "" or operator == "==":
            yield f"=={number if number.endswith('.*') else number.replace('*', '.*')}"
        else:
            yield f"{operator}{number}"


def _refused(step: str, name: str, why: str) -> PackagesException:
    return PackagesException(
        f"@conda of step *{step}*: package *{name}* cannot be had: {why}. Leave it out and install it on the "
        "machine, or ask for what is on PyPI with @pypi."
    )
