"""YAML as ``yaml.safe_load_all`` reads it, four times as fast: values are built from the events of the C parser.

A pipeline of a thousand tasks has 40,000 nodes, which PyYAML's constructors, written in Python, look at several times.
"""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]

#: First characters of plain scalars that may be something else than a text.
_MAY_BE_OTHER = frozenset("yYnNtTfFoO-+0123456789.~<=")
#: Values that a file may stand for, those of its aliases counted each time: else a few lines could fill the memory.
_MOST = 20_000_000
_MERGE = "<<"


class TooLargeError(ValueError):
    """A file whose aliases stand for more than can be held."""


class _NotPlainError(Exception):
    """A document with tags or merged mappings, which are left to PyYAML."""


def load_all(data: bytes) -> list[Any]:
    """The documents of a file.

    Raises:
        yaml.YAMLError: it is not YAML. TooLargeError: see there.
    """
    try:
        return _Builder(data).documents()
    except _NotPlainError:
        if b"*" in data:  # PyYAML does not count what aliases stand for
            raise TooLargeError("tags or merged mappings beside aliases") from None
        return list(yaml.load_all(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


class _Builder:
    def __init__(self, data: bytes) -> None:
        self._parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(data)
        self._scalars: dict[str, Any] = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0

    def documents(self) -> list[Any]:
        """See ``load_all``."""
        found: list[Any] = []
        next_event = self._parser.get_event
        try:
            while True:
                event = next_event()
                if type(event) is yaml.StreamEndEvent:
                    return found
                if type(event) is yaml.DocumentStartEvent:
                    self._anchors.clear()
                    found.append(self._node(next_event()))
        finally:
            self._parser.dispose()

    def _node(self, event: Any) -> Any:
        """The value that begins with an event. Containers are on a stack of their own: files may be nested deeply."""
        next_event, anchors = self._parser.get_event, self._anchors
        stack: list[tuple[Any, Any, str | None, int]] = []  # container, key, anchor, count before
        container: Any = None
        key: Any = None
        while True:
            kind = type(event)
            self._count += 1
            if kind is yaml.ScalarEvent:
                if event.tag is not None:
                    raise _NotPlainError
                value = event.value if event.style else self._plain(event.value)
                if event.anchor is not None:
                    anchors[event.anchor] = value, 1
            elif kind is yaml.AliasEvent:
                if event.anchor not in anchors:
                    raise yaml.composer.ComposerError(None, None, f"found undefined alias {event.anchor!r}")
                value, count = anchors[event.anchor]
                self._count += count
                if self._count > _MOST:
                    raise TooLargeError(f"its aliases stand for more than {_MOST:,} values")
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if event.tag is not None:
                    raise _NotPlainError
                stack.append((container, key, event.anchor, self._count))
                container, key = ({} if kind is yaml.MappingStartEvent else []), _NO_KEY
                event = next_event()
                continue
            else:  # the end of a container
                value = container
                container, key, anchor, before = stack.pop()
                if anchor is not None:
                    anchors[anchor] = value, self._count - before + 1
            if container is None:
                return value
            if type(container) is list:
                container.append(value)
            elif key is _NO_KEY:
                key = _as_key(value)
            else:
                container[key] = value
                key = _NO_KEY
            event = next_event()

    def _plain(self, text: str) -> Any:
        """A scalar without quotes: a text, number, truth value or nothing, as PyYAML resolves it."""
        if text and text[0] not in _MAY_BE_OTHER:
            return text
        if text not in self._scalars:
            tag = self._parser.resolve(yaml.ScalarNode, text, (True, False))
            node = yaml.ScalarNode(tag, text)
            if text == _MERGE:
                raise _NotPlainError
            self._scalars[text] = self._parser.construct_object(node)
        return self._scalars[text]


_NO_KEY = object()


def _as_key(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        raise yaml.constructor.ConstructorError(None, None, "found unhashable key") from None
    return value
