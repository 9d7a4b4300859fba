"""Where the value of a parameter or artifact is: with a task, in the driver, or several of these as a list.

The interpreter hands references on and loads a value only when it needs it.
"""

from __future__ import annotations

from typing import Any

from headrace.frontends.kfp.values import whole
from headrace.model.calls import PendingInput, PendingSource, TaskHandle
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore


class Out:
    """An output of a task that succeeded."""

    __slots__ = ("key", "task")

    def __init__(self, task: TaskHandle, key: str) -> None:
        self.task = task
        self.key = key

    def load(self, store: ArtifactStore) -> Any:
        """The value."""
        return codecs.unpack(self.task.output(self.key), store)


class Fixed:
    """A value that the driver has."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def load(self, store: ArtifactStore) -> Any:
        """The value."""
        return self.value


class Several:
    """A list of values."""

    __slots__ = ("parts",)

    def __init__(self, parts: list[Ref]) -> None:
        self.parts = parts

    def load(self, store: ArtifactStore) -> Any:
        """The values."""
        return [one.load(store) for one in self.parts]


Ref = Out | Fixed | Several


@codecs.is_hole
class _Hole:
    """What stands for an output in a template."""

    __slots__ = ("source",)

    def __init__(self, source: Out) -> None:
        self.source = source

    def __reduce__(self) -> Any:
        return codecs.reduce_hole(self)


def pending(name: str, ref: Ref, store: ArtifactStore) -> PendingInput:
    """A reference as an argument of a call."""
    if isinstance(ref, Out):
        return PendingInput(name, None, (PendingSource(ref.task, ref.key),))
    if isinstance(ref, Fixed):
        return PendingInput(name, codecs.pack(ref.value, store))
    packed, holes = codecs.pack_template(_template(ref), store)
    sources = tuple([PendingSource(one.source.task, one.source.key) for one in holes if isinstance(one, _Hole)])
    return PendingInput(name, packed, sources)


def _template(ref: Ref) -> Any:
    if isinstance(ref, Several):
        return [_template(one) for one in ref.parts]
    return _Hole(ref) if isinstance(ref, Out) else ref.value


def items_of(ref: Ref, store: ArtifactStore) -> list[Ref] | None:
    """The members of a list; None if the value is none, nor the JSON of one."""
    if isinstance(ref, Several):
        return ref.parts
    value = ref.load(store)
    if isinstance(value, str):
        import msgspec

        try:
            value = whole(msgspec.json.decode(value))
        except msgspec.DecodeError:
            return None
    return [Fixed(one) for one in value] if isinstance(value, list) else None
