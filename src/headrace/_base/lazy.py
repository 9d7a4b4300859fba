"""Attributes that are worked out when they are first looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):
    """A method that is called once per object, and whose answer is then an ordinary attribute of it.

    ``functools.cached_property`` before Python 3.12 holds one lock for all objects of a class while it works an answer
    out: threads wait for each other, and a child that was forked meanwhile waits for ever. Here two threads that look
    at the same moment may both work it out; one of the two answers stays.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self._name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> lazy[T] | T:
        if instance is None:
            return self
        found: T = instance.__dict__.setdefault(self._name, self._function(instance))
        return found
