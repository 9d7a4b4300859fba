"""The code behind names in stored values (``Packed.code``), as it is in this process now.

A value refers to the user's functions and classes by name, and code that loads it runs what bears the name then. So its
code is looked up where tasks get their keys, in the process that drives the run; what this process has not imported
counts by its file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NamedTuple

from blake3 import blake3

from headrace._base.usercode import find_user_module, main_name
from headrace.identity.fingerprint import Fingerprint, fingerprint, fingerprint_file


class NamedCode(NamedTuple):
    """The object that has a name, and its fingerprint."""

    thing: object
    code: Fingerprint


def find_named(name: str, known: NamedCode | None = None) -> NamedCode:
    """The code of ``name`` (``module:qualified.name``); ``known`` again while the same object bears it."""
    module_name, _, qualname = name.partition(":")
    module = sys.modules.get(module_name)
    if module is None and module_name == main_name():
        module = sys.modules["__main__"]
    if module is None:
        path = find_user_module(module_name)
        if known is not None and known.thing == path:
            return known
        return NamedCode(path, fingerprint_file(module_name, path) if path else _absent(name))
    thing: object = module
    for part in qualname.split(".") if qualname else ():
        try:
            thing = getattr(thing, part)
        except Exception:  # it was removed or renamed; a class of the user's may answer with anything
            return NamedCode(None, _absent(name))
    if known is not None and known.thing is thing:
        return known
    try:
        return NamedCode(thing, fingerprint(thing))  # type: ignore[arg-type]
    except Exception:  # objects can be strange; a run must not end of it
        return NamedCode(thing, _absent(name))


def joined(step: bytes, named: Iterable[tuple[str, bytes]]) -> bytes:
    """The digest of a step's code and of the code in its arguments, each as (argument, digest)."""
    hasher = blake3(b"code and arguments" + step)
    for argument, digest in named:
        hasher.update(len(argument).to_bytes(4, "little") + argument.encode() + digest)
    return hasher.digest()


def _absent(name: str) -> Fingerprint:
    """The fingerprint of code that is not there or cannot be read: that of its name."""
    digest = blake3(b"absent").digest()
    return Fingerprint(digest, {name.replace(":", "."): digest})
