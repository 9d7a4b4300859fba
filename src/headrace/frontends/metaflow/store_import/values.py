"""Artifacts of a Metaflow store: read, checked, unpickled where that can be done, and stored as Headrace does.

What cannot be unpickled here, because its class cannot be imported or it is not allowed, is kept as the pickle it is.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from headrace.frontends.metaflow import exceptions
from headrace.frontends.metaflow.authoring.configs import ConfigValue
from headrace.frontends.metaflow.store_import.folder import UnreadableError
from headrace.model.errors import StoreError
from headrace.model.values import Packed, Preview
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore

#: How many stored artifacts are remembered by their SHA-1: a task that changes nothing has its parent's again.
_REMEMBERED = 50_000
_GZIP = b"\x1f\x8b"
#: Names that can be looked up without running code that anybody else wrote.
_SAFE = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list range set slice str tuple",
    "collections": "Counter OrderedDict defaultdict deque",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "pathlib": "PosixPath PurePosixPath",
    "uuid": "UUID",
    "numpy": "dtype ndarray",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
}


class Stored(NamedTuple):
    """An artifact as it is in Headrace's store; ``kept``: as the pickle it was."""

    value: Packed
    preview: Preview
    kept: bool = False


class ForeachFrame:
    """A level of foreach as Metaflow pickles it; ``at`` is the index of the branch."""

    at: int

    def __new__(cls, step: str, var: str, num_splits: int | None, index: int, value: Any = None) -> ForeachFrame:
        """Called with what a named tuple of Metaflow's holds."""
        frame = super().__new__(cls)
        frame.at = index
        return frame


class _Object:
    """An object of a class of Metaflow's own: what was pickled of it."""

    def __init__(self, *_: Any) -> None: ...


class _Gang(_Object):
    num_parallel: int


class _Included(_Object):
    _descriptor: dict[str, Any]


_OF_METAFLOW: dict[str, type] = {
    "ForeachFrame": ForeachFrame,
    "ParallelUBF": _Gang,
    "IncludedFile": _Included,
    "ConfigValue": ConfigValue,
}


class _Unpickler(pickle.Unpickler):
    """Knows Metaflow's own classes by ours; ``trusted``: looks up all others where they are."""

    def __init__(self, stream: bytes, *, trusted: bool) -> None:
        super().__init__(io.BytesIO(stream))
        self._trusted = trusted

    def find_class(self, module: str, name: str) -> Any:
        """See ``pickle.Unpickler``."""
        if module.partition(".")[0] == "metaflow":
            kind = _OF_METAFLOW.get(name) or vars(exceptions).get(name)
            if not isinstance(kind, type):
                raise AttributeError(f"{module}.{name} has no counterpart here")
            return kind
        if (module, name) == ("__main__", "ForeachFrame"):  # made with the name of its caller's module
            return ForeachFrame
        if self._trusted or name in _SAFE.get(module, "").split():
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not looked up")


class Values:
    """The artifacts of one flow. ``trusted``: whether code that they name may be imported and run."""

    def __init__(self, folder: Path, artifacts: ArtifactStore, *, trusted: bool) -> None:
        self._folder = folder
        self._artifacts = artifacts
        self._trusted = trusted
        self._known: OrderedDict[str, Stored] = OrderedDict()
        self._plain: OrderedDict[str, Any] = OrderedDict()

    def stored(self, sha: str, kind: str = "", encoding: str = "pickle") -> Stored:
        """An artifact, stored. ``kind`` is the name of its type, for showing.

        Raises:
            UnreadableError: it is gone, damaged, or of a form that is not known here.
            StoreError: Headrace's store cannot take it.
        """
        found = self._known.get(sha)
        if found is None:
            if "pickle" not in (encoding or "pickle"):
                raise UnreadableError(f"{self._path(sha)}: an artifact in the form {encoding!r} cannot be read here")
            found = self._known[sha] = self._store(self._bytes(sha), kind)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(sha)
        return found

    def plain(self, sha: str) -> Any:
        """A value of Metaflow's own, such as where a task leads; no code of anybody else's is run for it.

        Raises:
            UnreadableError: it is gone, damaged, or something else.
        """
        if sha not in self._plain:
            stream = self._bytes(sha)
            try:
                self._plain[sha] = _Unpickler(stream, trusted=False).load()
            except Exception as error:
                raise UnreadableError(f"{self._path(sha)} is not what it should be: {error}") from None
            if len(self._plain) > _REMEMBERED:
                self._plain.popitem(last=False)
        return self._plain[sha]

    def _path(self, sha: str) -> Path:
        return self._folder / "data" / sha[:2] / sha

    def _bytes(self, sha: str) -> bytes:
        path = self._path(sha)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UnreadableError(f"{path}: {error.strerror or error}") from None
        problem = "its content is not what its name says"
        if content.startswith(_GZIP):
            try:
                unpacked = gzip.decompress(content)
            except (OSError, EOFError, zlib.error) as error:
                problem = str(error)
            else:
                if _sha_of(unpacked) == sha:
                    return unpacked
        if _sha_of(content) == sha:
            return content
        raise UnreadableError(f"{path} is damaged: {problem}")

    def _store(self, stream: bytes, kind: str) -> Stored:
        try:
            value = _Unpickler(stream, trusted=self._trusted).load()
            if isinstance(value, _Included):
                value = self._included(value)
            if isinstance(value, _Object):
                raise TypeError(f"{kind} is a class of Metaflow's own")
            packed = codecs.pack(value, self._artifacts)
            return Stored(packed, codecs.preview(value, packed))
        except (MemoryError, StoreError, UnreadableError):
            raise
        except Exception:  # whatever the object's own code did: it stays as it is
            return Stored(codecs.pack_stream(stream, self._artifacts), Preview(kind), kept=True)

    def _included(self, value: _Included) -> Any:
        """What the file of an ``IncludeFile`` held."""
        known = value._descriptor
        tail = Path(unquote(urlsplit(str(known.get("url", ""))).path))
        root = self._folder.parent
        places = [tail, *(base.joinpath(*tail.parts[-3:]) for base in (root.parent, root))]
        path = next((one for one in places if one.is_file()), tail)
        try:
            content = path.read_bytes()
            if known.get("sub-type", "uploaded") == "uploaded" and content.startswith(_GZIP):
                content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableError(f"{path}, an included file: {error}") from None
        return content.decode(known.get("encoding") or "utf-8") if known.get("is_text") else content


def _sha_of(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def shown(stored: Stored) -> str:
    """A parameter's value as it is listed: JSON where it is plain, else what the preview says."""
    packed = stored.value
    if packed.codec == "json" and packed.inline:
        return packed.inline.decode()
    if packed.codec == "str" and packed.inline:
        return json.dumps(packed.inline.decode())
    return stored.preview.text


__all__ = ["ForeachFrame", "Stored", "Values", "shown"]
