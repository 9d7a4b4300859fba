"""The identity of a task: digests of its inputs, its key in the run, its key in the cache. Content, never position.

key = BLAKE3(step name, digest of inputs, occurrence among equal calls in this run)
cache key = BLAKE3(step name, code, digest of inputs, environment)

An input that equals the default of its argument is left out of the digest, as if the call had left it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from blake3 import blake3

from headrace.model.records import Input


def template_digest(template: bytes, fills: Iterable[bytes]) -> bytes:
    """Digest of an argument that is a container of outputs: of its template and of what fills the holes."""
    return blake3(b"template" + template + b"".join(fills)).digest()


def inputs_digest(inputs: Iterable[Input], defaults: Mapping[str, bytes] | None = None) -> bytes:
    """Digest of all arguments of a call: names and contents, in the order of the signature.

    ``defaults``: the digests of defaults, by argument.
    """
    hasher = blake3(b"inputs")
    for one in inputs:
        digest = input_digest(one)
        if not defaults or defaults.get(one.name) != digest:
            hasher.update(one.name.encode() + b"\0" + digest)
    return hasher.digest()


def input_digest(one: Input) -> bytes:
    """Digest of one argument's content. An output passed as a future equals the same value passed by itself."""
    if one.template:
        return template_digest(one.value.digest, (source.digest for source in one.sources))
    return one.value.digest


def task_key(step: str, inputs: bytes, occurrence: int) -> bytes:
    """The identity of a task within its run."""
    return blake3(b"task" + step.encode() + b"\0" + inputs + occurrence.to_bytes(8, "little")).digest()


#: The flow function, where a task has its key.
FLOW = b"flow"


def task_seed(seed: int, key: bytes) -> bytes:
    """The seed of a task's random numbers, the same for all its attempts."""
    return blake3(b"seed" + seed.to_bytes(8, "little") + key).digest(16)


def cache_key(step: str, code: bytes, inputs: bytes, environment: bytes) -> bytes:
    """The identity of a result across runs."""
    return blake3(b"cache" + step.encode() + b"\0" + code + inputs + environment).digest()
