"""A flow whose steps are renamed, added and taken away between a run and its resume; see ``reshape.py``."""

import os

from metaflow import FlowSpec, Parameter, step


class Reshaped(FlowSpec):
    base = Parameter("base", default=2)

    @step
    def start(self):
        self.trace = ["start"]
        self.items = [self.base, self.base + 1, self.base + 2]
        self.next(self.first)

    @step
    def first(self):
        self.trace = self.trace + ["first"]
        self.next(self.each, foreach="items")

    @step
    def each(self):
        self.square = self.input**2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.squares = [one.square for one in inputs]
        self.merge_artifacts(inputs, include=["trace"])
        self.next(self.last)

    @step
    def last(self):
        if not os.path.exists("fixed"):
            raise ValueError("not fixed")
        self.trace = self.trace + ["last"]
        self.next(self.end)

    @step
    def end(self):
        print(self.squares, self.trace)


if __name__ == "__main__":
    Reshaped()
