"""``headrace dialect``."""

from __future__ import annotations

from pathlib import Path

import click

#: What Python reads at its start: a line is a folder to import from, after those of installed packages.
_PTH = "headrace-metaflow.pth"


@click.command(name="dialect")
@click.argument("name", type=click.Choice(["metaflow", "kfp"]))
@click.option("--install", is_flag=True, help="Let this Python environment find the folder by itself from now on.")
@click.option("--uninstall", is_flag=True, help="Undo --install.")
def dialect_command(name: str, install: bool, uninstall: bool) -> int:
    """Print the folder that makes files of another dialect run on Headrace as they are.

    Put it on Python's path: PYTHONPATH="$(headrace dialect metaflow)" python flow.py run. (`headrace run flow.py` does
    so by itself.)

    PYTHONPATH="$(headrace dialect kfp)" python pipelines.py lets kfp.local run the pipelines of a script on
    Headrace; its Python must have kfp, and need not have Headrace.

    With --install, `python flow.py run`, notebooks and editors of this environment need no PYTHONPATH. It is refused
    where the metaflow package itself is installed, because that would be found first. It is for metaflow alone.
    """
    from headrace.frontends.metaflow.standin import SHIM
    from headrace.model.errors import UsageError

    if install and uninstall:
        raise UsageError("--install and --uninstall do not go together")
    if name == "kfp":
        if install or uninstall:
            raise UsageError("--install is for metaflow alone; set PYTHONPATH where kfp.local is to run on Headrace")
        from headrace.frontends.kfp.local_folder import make_folder

        click.echo(str(make_folder()))
        return 0
    if install:
        click.echo(f"{_install(SHIM)} makes `import metaflow` find Headrace; --uninstall removes it.")
    elif uninstall:
        file = _file()
        click.echo(f"{file} is removed." if file.exists() else f"There is nothing to undo: {file} does not exist.")
        file.unlink(missing_ok=True)
    else:
        click.echo(SHIM)
    return 0


def _file() -> Path:
    import sysconfig

    return Path(sysconfig.get_path("purelib"), _PTH)


def _install(shim: str) -> Path:
    """Write the file; returns where.

    Raises:
        UsageError: the metaflow package itself is installed, or the environment cannot be written to.
    """
    import sys
    from importlib.machinery import PathFinder

    from headrace.model.errors import UsageError

    real = PathFinder.find_spec("metaflow", [one for one in sys.path if one not in ("", shim)])
    if real is not None and real.origin is not None and not real.origin.startswith(shim):
        raise UsageError(
            f"the metaflow package itself is installed, in {Path(real.origin).parent}, and would be found first: "
            "remove it (pip uninstall metaflow), or go on with PYTHONPATH"
        )
    file = _file()
    try:
        file.write_text(shim + "\n")
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror}; make a virtual environment, or set PYTHONPATH"
        ) from error
    return file
