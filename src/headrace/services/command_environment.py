"""What a command runs in, as part of its cache key: the kind of machine, and the file of its program."""

from __future__ import annotations

import os


def command_environment(command: bytes) -> bytes:
    """The digest of what a command without an environment of its own runs in; ``command`` as in ``Define``.

    A program that is installed anew counts as another one. Where it is not on this machine, its name counts.
    """
    import shutil

    import msgspec
    from blake3 import blake3

    from headrace.model.commands import CommandSpec

    machine = os.uname()
    program = msgspec.msgpack.decode(command, type=CommandSpec).program
    known: list[object] = [machine.sysname, machine.machine, program]
    path = shutil.which(program)
    if path is not None:
        status = os.stat(path)  # noqa: PTH116
        known += [os.path.realpath(path), status.st_size, status.st_mtime_ns]
    return blake3(b"command environment" + msgspec.msgpack.encode(known)).digest()
