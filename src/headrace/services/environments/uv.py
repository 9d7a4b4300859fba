"""Running ``uv``, which resolves and installs the packages of environments."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence

from headrace.model.errors import EnvironmentSetupError

#: Variables that would make uv install elsewhere than it is told, or color what it says.
_CLEARED = (
    "VIRTUAL_ENV",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "PYTHONHOME",
    "PYTHONPATH",
    "UV_SYSTEM_PYTHON",
    "CONDA_PREFIX",
)

#: How lines begin in which uv says what takes long.
_LONG = ("Downloading ", "Building ")


_TRUSTED = re.compile(r"(?m)^\s*--trusted-host[ =](\S+)\s*$")


class UvError(Exception):
    """``uv`` failed; the text is what it said."""


def find_uv() -> str:
    """The path of ``uv``: that of the package beside Headrace, else of the command.

    Raises:
        EnvironmentSetupError: there is none.
    """
    try:
        import uv

        return os.fspath(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise EnvironmentSetupError(
            "environments of steps are made by uv, which is not installed: pip install 'headrace[environments]', or "
            "put uv on the PATH"
        )
    return found


def trusted_hosts(requirements: str) -> list[str]:
    """Options for hosts that a list of requirements trusts without a certificate; uv takes them as arguments alone."""
    return [f"--trusted-host={host}" for host in _TRUSTED.findall(requirements)]


def without_trusted_hosts(requirements: str) -> str:
    """``requirements`` without those options, which uv would warn of."""
    return _TRUSTED.sub("", requirements)


def run_uv(
    arguments: Sequence[str],
    given: str | None = None,
    folder: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> str:
    """What ``uv ARGUMENTS`` prints to standard output. ``given`` is its standard input, ``folder`` where it runs.

    ``tell`` hears what takes long: downloads, and packages that are built.

    Raises:
        UvError: it failed.
        EnvironmentSetupError: there is no uv.
    """
    variables = {name: text for name, text in os.environ.items() if name not in _CLEARED}
    variables |= {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
    with tempfile.TemporaryFile("w+", errors="replace") as asked, tempfile.TemporaryFile("w+", errors="replace") as out:
        asked.write(given or "")
        asked.seek(0)
        process = subprocess.Popen(
            [find_uv(), *arguments],
            stdin=asked,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=folder,
            env=variables,
        )
        said = _heard(process, tell)
        out.seek(0)
        printed = out.read()
    if process.returncode:
        raise UvError(_without_warnings(said) or f"uv ended with exit code {process.returncode}")
    return printed


#: The uv that runs for a thread, by the thread's identifier.
_running: dict[int, subprocess.Popen[str]] = {}


def stop_uv(thread: int) -> None:
    """End the uv that runs for a thread; nothing happens if there is none."""
    process = _running.get(thread)
    if process is not None:
        process.kill()


def _heard(process: subprocess.Popen[str], tell: Callable[[str], None] | None) -> str:
    """All that a process wrote to standard error, once it has ended; it ends when the caller is interrupted."""
    assert process.stderr is not None
    lines: list[str] = []
    _running[threading.get_ident()] = process
    try:
        for line in process.stderr:
            lines.append(line)
            if tell is not None and line.lstrip().startswith(_LONG):
                tell(f"  {line.strip()}")
        process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        del _running[threading.get_ident()]
        process.stderr.close()
    return "".join(lines)


def _without_warnings(text: str) -> str:
    """What uv says of the failure, without warnings about interpreters that it looked at in passing."""
    kept, within = [], False
    for line in text.splitlines():
        if line.startswith("warning: "):
            within = True
        elif within and (not line or line[0].isspace()):
            continue
        else:
            within = False
            kept.append(line)
    return "\n".join(kept).strip() or text.strip()
