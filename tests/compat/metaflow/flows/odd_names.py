"""Artifacts with names that a tool may use itself; a class with mixins, a generic base and a property."""

from metaflow import FlowSpec, step, Parameter
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

T = TypeVar("T")


class Mixin:
    extra = [1, 2]

    def helper(self):
        return sum(self.extra)


class Base(FlowSpec, Mixin):
    @property
    def prop(self):
        return self.number * 2


class Odd(Base, Generic[T]):
    p = Parameter("p", default=3)

    @step
    def start(self):
        self.number = 4
        self._foreach = [1]
        self._inputs = {"a": 1}
        self._headrace_x = 5
        self.loop = "l"
        self.data = self.helper()
        for i in range(150):
            setattr(self, f"a{i}", i)
        self.next(self.mid)

    @step
    def mid(self):
        print(self._foreach, self._inputs, self._headrace_x, self.loop, self.prop, self.a149)
        self.items = [1, 2]
        self.next(self.each, foreach="items")

    @step
    def each(self):
        print(self._foreach, self._inputs)
        self.v = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.merge_artifacts(inputs, exclude=["v"])
        print(self._foreach if hasattr(self, "_foreach") else "none")
        self.next(self.end)

    @step
    def end(self):
        print(self.a5, self._inputs if hasattr(self, "_inputs") else "none")


if __name__ == "__main__":
    Odd()
