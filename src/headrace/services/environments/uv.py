"""Running ``uv``, which resolves and installs the packages of environments."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

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


def run_uv(arguments: Sequence[str], given: str | None = None, folder: str | None = None) -> str:
    """What ``uv ARGUMENTS`` prints to standard output. ``given`` is its standard input, ``folder`` where it runs.

    Raises:
        UvError: it failed.
        EnvironmentSetupError: there is no uv.
    """
    variables = {name: text for name, text in os.environ.items() if name not in _CLEARED}
    variables |= {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
    done = subprocess.run(
        [find_uv(), *arguments],
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=folder,
        env=variables,
        check=False,
    )
    if done.returncode:
        raise UvError(_without_warnings(done.stderr) or f"uv ended with exit code {done.returncode}")
    return done.stdout


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
