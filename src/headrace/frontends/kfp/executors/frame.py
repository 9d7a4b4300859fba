"""The command of a lightweight Python component, as the SDK writes it: recognised, so that its function can be called.

The SDK writes a shell command that installs packages, and one that puts the source into a file and runs
``python3 -m kfp.dsl.executor_main`` with it. A command that differs from that in anything is not recognised: it is
run as it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import msgspec

_RUN = re.compile(
    r"program_path=\$\(mktemp -d\) "
    r'printf "%s" "\$0" > "\$program_path/ephemeral_component\.py" '
    r"(_KFP_RUNTIME=true )?python3 -m kfp\.(dsl|components|v2\.components)\.executor_main "
    r'--component_module_path "\$program_path/ephemeral_component\.py" "\$@"'
)
_HAS_PIP = re.compile(
    r'if ! \[ -x "\$\(command -v pip\)" \]; then '
    r"(python3 -m ensurepip \|\| python3 -m ensurepip --user \|\| )?apt-get install python3-pip fi "
)
_VENV = re.compile(
    r"export PIP_DISABLE_PIP_VERSION_CHECK=1 tmp=\$\(mktemp -d\) "
    r'python3 -m venv "\$tmp/venv" --system-site-packages \. "\$tmp/venv/bin/activate" '
)
_VARIABLE = "PIP_DISABLE_PIP_VERSION_CHECK=1 "
_CALL = ' && "$0" "$@"'
_PIP = ["python3", "-m", "pip", "install"]
#: Options of ``pip install`` that change nothing here, and those that take a value.
_FLAGS = frozenset(("--quiet", "--no-warn-script-location", "--user", "--no-deps"))
_VALUES = frozenset(("--index-url", "--extra-index-url", "--trusted-host"))
#: What the SDK installs for itself.
_OWN = re.compile(r"(kfp==[\w.!+]+|typing-extensions>=3\.7\.4,<5; ?python_version<\"3\.9\")$")


class PythonFunction(msgspec.Struct, frozen=True, kw_only=True):
    """A lightweight Python component: its source, the function in it, the packages that it asks for.

    ``indexes`` are the URLs of package indexes, the first of them in place of PyPI; ``trusted`` are hosts whose
    certificates are not checked.
    """

    source: str
    function: str
    packages: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()


def python_function(command: Sequence[str], args: Sequence[str]) -> PythonFunction | None:
    """The component that a container's command and arguments run; None if these are not as the SDK writes them."""
    function = _function_name(args)
    if function is None or len(command) not in (4, 7):
        return None
    shell, flags, run, source = command[-4:]
    if shell != "sh" or flags not in ("-ec", "-c") or not _RUN.fullmatch(_on_one_line(run)):
        return None
    made = PythonFunction(source=source, function=function)
    if len(command) == 4:
        return made
    shell, flags, install = command[:3]
    if shell != "sh" or flags not in ("-c", "-ec"):
        return None
    return _with_packages(made, _on_one_line(install))


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _function_name(args: Sequence[str]) -> str | None:
    if len(args) != 4:
        return None
    given = {args[0]: args[1], args[2]: args[3]}
    if given.get("--executor_input") != "{{$}}":
        return None
    return given.get("--function_to_execute")


def _with_packages(made: PythonFunction, install: str) -> PythonFunction | None:
    text = _HAS_PIP.sub("", install, count=1)
    if not text.endswith(_CALL):
        return None
    text = text[: -len(_CALL)]
    if text.startswith("(") and text.endswith(")"):  # "(... || ... --user)", of old versions
        text = text[1:-1].partition(" || ")[0]
    text = _VENV.sub("", text)
    packages: list[str] = []
    indexes: list[str] = []
    trusted: list[str] = []
    for one in text.split(" && "):
        found = _read_pip(one.strip().removeprefix(_VARIABLE))
        if found is None:
            return None
        packages += found[0]
        indexes += [url for url in found[1] if url not in indexes]
        trusted += [host for host in found[2] if host not in trusted]
    return msgspec.structs.replace(made, packages=tuple(packages), indexes=tuple(indexes), trusted=tuple(trusted))


def _read_pip(line: str) -> tuple[list[str], list[str], list[str]] | None:
    """Requirements, index URLs and trusted hosts of one ``pip install``; None if it is something else."""
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    if words[:4] != _PIP:
        return None
    packages: list[str] = []
    indexes: list[str] = []
    trusted: list[str] = []
    rest = iter(words[4:])
    for word in rest:
        if word in _FLAGS:
            continue
        if word in _VALUES:
            value = next(rest, None)
            if value is None or not value or any(map(str.isspace, value)):
                return None
            (trusted if word == "--trusted-host" else indexes).append(value)
        elif word.startswith("-"):
            return None
        else:
            packages.append(word)
    if "--no-deps" in words:  # the SDK itself, which components do not need here
        packages = [one for one in packages if not _OWN.match(one)]
    return packages, indexes, trusted
