"""Functions that deal with artifacts themselves: packed arguments in, any number of named outputs out.

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
    """One attempt, as a raw function sees it. ``tries`` counts this session's attempts, this one included; ``gang`` is
    its place in its gang, if it is in one.
    """

    __slots__ = ("arguments", "attempt", "gang", "store", "task", "tries")

    def __init__(self, message: Execute, store: ArtifactStore) -> None:
        self.arguments: dict[str, Argument] = {one.name: one for one in message.arguments}
        self.task = message.task
        self.attempt = message.attempt
        self.tries = message.attempt - message.before
        self.gang = message.gang
        self.store = store

    def load(self, packed: Packed) -> Any:
        """The object behind a manifest.

        Raises:
            BlobError: its bytes are gone. Let it pass, and the engine has them made again.
        """
        return codecs.unpack(packed, self.store)

    def pack(self, name: str, value: Any) -> Output:
        """``value`` stored, as an output. Whether it can be read back is found where somebody reads it.

        Raises:
            NotStorableError: it cannot be; the message names what is to blame.
        """
        packed = codecs.pack(value, self.store, read_back=False)
        return Output(name, packed, codecs.preview(value))


def arguments_of(
    inputs: Iterable[Input], outputs: Mapping[TaskId, Mapping[str, ArtifactRecord]]
) -> tuple[Argument, ...]:
    """The arguments that a recorded task had; ``outputs`` are those of the tasks that its inputs name."""
    return tuple(
        Argument(
            one.name,
            one.value,
            tuple(outputs[TaskId(at.step, at.number)][at.output].value for at in one.sources) if one.template else (),
            one.template,
        )
        for one in inputs
    )
