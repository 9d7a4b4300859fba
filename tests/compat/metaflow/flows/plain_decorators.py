"""Plain decorators of Python around steps: above and below ``@step``, with and without ``*args``, one around another."""

import functools
import os

import plain_helpers
from metaflow import FlowSpec, catch, retry, step


def simple(function):
    @functools.wraps(function)
    def wrapper(self):
        print("simple around", function.__name__)
        return function(self)

    return wrapper


def loose(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        print("loose around", function.__name__, len(args), sorted(kwargs))
        try:
            return function(*args, **kwargs)
        finally:
            print("loose behind", function.__name__)

    return wrapper


def half(function):
    @functools.wraps(function)
    def wrapper(self, *others):
        self.seen = [*getattr(self, "seen", []), function.__name__]
        function(self, *others)

    return wrapper


def numbered(number):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args):
            print("number", number)
            return function(*args)

        return wrapper

    return decorate


def silent(function):
    def hidden(*args):
        return function(*args)

    return hidden if os.environ.get("HIDE") else function


def as_it_is(function):
    function.marked = True
    return function


class PlainDecorators(FlowSpec):
    @step
    @simple
    @silent
    def start(self):
        """Where it starts."""
        self.next(self.left, self.right)

    @half
    @step
    @numbered(1)
    def left(self):
        self.value = 1
        self.next(self.join)

    @step
    @loose
    @numbered(2)
    def right(self):
        self.value = 2
        self.next(self.join)

    @retry(times=1, minutes_between_retries=0)
    @half
    @loose
    @step
    def join(self, inputs):
        self.values = sorted(one.value for one in inputs)
        self.next(self.split)

    @plain_helpers.outer
    @step
    @plain_helpers.outer
    def split(self):
        self.items = [1, 2]
        self.next(self.body, foreach="items")

    @as_it_is
    @catch(var="problem", print_exception=False)
    @numbered(3)
    @step
    def body(self):
        self.twice = self.input * 2
        if self.input == 2:
            raise ValueError("two")
        self.next(self.gather)

    @step
    @as_it_is
    @half
    def gather(self, inputs):
        self.total = sum(one.twice for one in inputs)
        self.problems = [one.problem and one.problem.exception for one in inputs]
        self.merge_artifacts(inputs, exclude=["twice", "problem"])
        self.next(self.choose)

    @numbered(4)
    @step
    @half
    def choose(self):
        self.way = "short"
        self.next({"short": self.end, "long": self.longer}, condition="way")

    @step
    @loose
    def longer(self):
        self.next(self.end)

    @loose
    @half
    @step
    def end(self):
        print(self.values, self.total, self.seen)


if __name__ == "__main__":
    PlainDecorators()
