"""Step functions that take packed arguments and return any number of named outputs.

A step whose ``Define`` says ``raw`` is called as ``function(call)`` with a ``RawCall`` and returns a mapping of names
to values. What it never looks at is never loaded; an ``Output`` among the values is taken as it is, already stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headrace.model.messages import Argument, Execute, Output
from headrace.model.records import ArtifactRecord, Input, TaskId
from headrace.model.values import Packed
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore


class RawCall:
    """The argument of a raw function: one attempt, the ``tries``-th of this session, with its place in its gang.

    ``memory`` is as in ``Execute``. ``cpu_seconds`` and ``peak_memory`` (bytes) are those of processes that the
    function has run.
    """

    __slots__ = ("arguments", "attempt", "cpu_seconds", "gang", "memory", "peak_memory", "store", "task", "tries")

    def __init__(self, message: Execute, store: ArtifactStore) -> None:
        self.arguments: dict[str, Argument] = {one.name: one for one in message.arguments}
        self.task = message.task
        self.attempt = message.attempt
        self.tries = message.attempt - message.before
        self.gang = message.gang
        self.memory = message.memory
        self.cpu_seconds = 0.0
        self.peak_memory = 0
        self.store = store

    def value(self, name: str) -> Any:
        """Load an argument, with the outputs of other tasks that it is made of.

        Raises:
            BlobError: as ``load``.
        """
        one = self.arguments[name]
        if not one.template:
            return self.load(one.value)
        return codecs.unpack_template(one.value, self.store, [self.load(fill) for fill in one.fills])

    def load(self, packed: Packed) -> Any:
        """Load the object that a manifest describes.

        Raises:
            BlobError: its bytes are gone. Let it pass, and the engine has them made again.
        """
        return codecs.unpack(packed, self.store)

    def pack(self, name: str, value: Any) -> Output:
        """Store ``value`` and return it as an output, without a check that it can be read back.

        Raises:
            NotStorableError: it cannot be; the message names what is to blame.
        """
        packed = codecs.pack(value, self.store, read_back=False)
        return Output(name, packed, codecs.preview(value))


def arguments_of(
    inputs: Iterable[Input], outputs: Mapping[TaskId, Mapping[str, ArtifactRecord]]
) -> tuple[Argument, ...]:
    """The arguments of a recorded task. ``outputs`` holds the outputs of the tasks that its inputs name."""
    return tuple(
        Argument(
            one.name,
            one.value,
            tuple(outputs[TaskId(at.step, at.number)][at.output].value for at in one.sources) if one.template else (),
            one.template,
        )
        for one in inputs
    )
