"""How the calls of a metadata store travel: typed arguments and results as msgpack, made from ``MetadataStore`` itself.

The HTTP client and the server share this table, so that they cannot disagree. Nothing here is pickled, and what
arrives is checked against the types before a store sees it.

Compatibility: arguments travel by position, and trailing ones may be missing; records gain fields only with defaults.
So a client of an earlier patch version is understood.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from headrace.model.errors import UsageError
from headrace.model.records import LogChunk, LogSegment
from headrace.stores.metadata.protocol import MetadataStore, Write

#: Version of this table and of the requests that carry it; a server answers clients of its own alone.
PROTOCOL = 1
MEDIA_TYPE = "application/x-msgpack"

_encoder = msgspec.msgpack.Encoder()
encode: Callable[[Any], bytes] = _encoder.encode


class CommitArguments(msgspec.Struct, frozen=True, array_like=True):
    """Arguments of ``commit``; each write with the name of its class."""

    writes: list[tuple[str, msgspec.Raw]]
    name: str = ""  # of the lease; empty: none
    owner: str = ""
    token: int = 0
    note: bytes = b""
    seconds: float = 0.0
    number: int = 0


class AwaitArguments(msgspec.Struct, frozen=True, array_like=True):
    """A long poll for the signals of runs, each with the id after which they are new, for so many seconds."""

    after: dict[int, int]
    seconds: float = 20.0


class Remote(msgspec.Struct, frozen=True):
    """A method of the store as it is called over the network.

    ``writes``: whether it changes anything. ``again``: whether the same call may be made twice, because the second one
    changes nothing more.
    """

    name: str
    arguments: type[msgspec.Struct]
    decode_arguments: Callable[[bytes], Any]
    encode_result: Callable[[Any], bytes]
    decode_result: Callable[[bytes], Any]
    writes: bool = False
    again: bool = True


_WRITING = {"acquire", "release", "create_run", "open_run", "delete_run", "forget_cached", "send", "import_rows"}
_ONCE = {"acquire", "create_run", "open_run", "send", "import_rows"}
#: What concerns all projects: for admins of the whole server.
WHOLE = frozenset({"projects", "referenced_blobs", "code_packages", "compact"})
_LOCAL = {"hasty", "close", "commit", "subscribe"}


def _tagged(values: Iterable[Any]) -> bytes:
    return encode([(type(value).__name__, value) for value in values])


def _decoders(kinds: Iterable[type]) -> dict[str, Callable[[Any], Any]]:
    return {kind.__name__: msgspec.msgpack.Decoder(kind).decode for kind in kinds}


_pairs = msgspec.msgpack.Decoder(list[tuple[str, msgspec.Raw]])
_logs = _decoders((LogChunk, LogSegment))
_writes = _decoders(typing.get_args(Write))


def _untagged(data: bytes) -> list[Any]:
    return [_logs[kind](raw) for kind, raw in _pairs.decode(data)]


@functools.cache
def remote(name: str) -> Remote:
    """How ``MetadataStore.name`` is called over the network; ``name`` is one of ``names()``."""
    method = getattr(MetadataStore, name)
    hints = typing.get_type_hints(method)
    result = hints.pop("return")
    fields = [(field, hints[field], *default) for field, default in _parameters(method)]
    arguments = msgspec.defstruct(f"{name}_arguments", fields, frozen=True, array_like=True)
    returned: Any = result
    if typing.get_origin(result) is Iterator:
        returned = list[typing.get_args(result)[0]]  # type: ignore[misc]
    union = name == "logs"
    return Remote(
        name=name,
        arguments=arguments,
        decode_arguments=msgspec.msgpack.Decoder(arguments).decode,
        encode_result=_tagged if union else encode if returned is result else _encode_all,
        decode_result=_untagged if union else msgspec.msgpack.Decoder(returned).decode,
        writes=name in _WRITING,
        again=name not in _ONCE,
    )


def _parameters(method: Any) -> list[tuple[str, tuple[Any, ...]]]:
    """Names of parameters in order, each with its default if it has one. (``inspect`` takes long to import.)"""
    code = method.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    positional = names[: code.co_argcount - 1]
    defaults = dict(zip(reversed(positional), reversed(method.__defaults__ or ()), strict=False))
    defaults |= method.__kwdefaults__ or {}
    return [(name, (defaults[name],) if name in defaults else ()) for name in names]


def _encode_all(values: Iterable[Any]) -> bytes:
    return encode(list(values))


def names() -> list[str]:
    """The methods that are one call with one answer."""
    return [name for name in vars(MetadataStore) if not name.startswith("_") and name not in _LOCAL and name != "url"]


decode_commit = msgspec.msgpack.Decoder(CommitArguments).decode
decode_await = msgspec.msgpack.Decoder(AwaitArguments).decode


def encode_writes(writes: Sequence[Write]) -> list[tuple[str, Write]]:
    """The writes, each with the name of its class."""
    return [(type(write).__name__, write) for write in writes]


def decode_writes(pairs: Iterable[tuple[str, msgspec.Raw]]) -> list[Write]:
    """What ``encode_writes`` made, after a journey.

    Raises:
        UsageError: there is no such kind of write.
        msgspec.ValidationError: one does not fit its kind.
    """
    try:
        return [_writes[kind](raw) for kind, raw in pairs]
    except KeyError as error:
        raise UsageError(f"there is no kind of write {error.args[0]!r}; the client is of another version") from None


def encode_fit(value: Any) -> bytes:
    """``encode``; lone surrogates in texts, which cannot travel, are escaped."""
    try:
        return encode(value)
    except UnicodeEncodeError:
        return encode(_fit(msgspec.to_builtins(value, builtin_types=(bytes,), str_keys=False)))


def _fit(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, (list, tuple)):
        return [_fit(one) for one in value]
    if isinstance(value, dict):
        return {_fit(key): _fit(one) for key, one in value.items()}
    return value
