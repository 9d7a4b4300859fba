"""Working folders of commands: one per attempt, removed at its end, or later when the worker was killed before that."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from headrace._base.process import owner_alive, process_owner
from headrace.model.errors import CommandError

#: Files of Headrace in a working folder: who made it, and what the command tracks.
OWNER, TRACK = ".headrace-owner", ".headrace-track.jsonl"
_swept = False


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """A new working folder, which is removed afterwards.

    Raises:
        CommandError: it cannot be made.
    """
    folder = new_folder()
    try:
        yield folder
    finally:
        remove(folder)


def new_folder() -> Path:
    """A new working folder for one attempt; folders of processes that have died are removed first, once per process.

    Raises:
        CommandError: it cannot be made.
    """
    base = Path(tempfile.gettempdir()) / f"headrace-commands-{os.getuid()}"
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        if base.lstat().st_uid != os.getuid() or base.is_symlink():
            raise CommandError(f"{base} belongs to another user; set TMPDIR to a folder of your own")
        _sweep(base)
        folder = Path(tempfile.mkdtemp(dir=base, prefix=""))
        (folder / OWNER).write_text(process_owner())
        (folder / TRACK).touch()
    except OSError as error:
        raise CommandError(
            f"cannot make a working folder for a command below {base}: {error.strerror or error}; "
            "free some space, or set TMPDIR to another folder"
        ) from error
    return folder


def remove(folder: Path) -> None:
    """Remove a folder, whatever modes the command gave to what is in it."""

    def make_writable(function: object, path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            if Path(path).is_dir() and not Path(path).is_symlink():
                Path(path).chmod(0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                Path(path).unlink()

    if sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=make_writable)
    else:
        shutil.rmtree(folder, onerror=make_writable)


def _sweep(base: Path) -> None:
    global _swept
    if _swept:
        return
    _swept = True
    for folder in base.iterdir():
        with contextlib.suppress(OSError):
            if owner_alive((folder / OWNER).read_text()) is False:
                remove(folder)
