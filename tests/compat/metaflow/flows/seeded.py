"""Generators that the file seeds, and some that it does not, in tasks side by side and one after the other."""

import functools
import random

from metaflow import FlowSpec, step

random.seed(7)
PYTHON = random.Random(1)
TEXT = random.Random("weights")
FRESH = random.Random()
NESTED = {"rng": [random.Random(2)]}
DRAWN = [random.random() for _ in range(1000)]


class Helper:
    rng = random.Random(3)
    fresh = random.Random()


def closure():
    rng = random.Random(4)
    return lambda: rng.random()


CLOSURE = closure()
bound = functools.partial(random.Random(5).uniform, 0)


def seeded():
    generators = (random.random, PYTHON.random, TEXT.random, NESTED["rng"][0].random, Helper.rng.random, CLOSURE)
    return [round(draw(), 9) for draw in generators] + [round(random.gauss(0, 1), 9), round(bound(1), 9)]


def note():
    with open("numbers.txt", "a") as file:
        print(FRESH.random(), Helper.fresh.random(), file=file)


class SeededFlow(FlowSpec):
    @step
    def start(self):
        self.first = seeded()
        note()
        print("start", self.first)
        random.seed(1)
        self.parts = list(range(4))
        self.next(self.work, foreach="parts")

    @step
    def work(self):
        print("work", seeded() == self.first, seeded() == self.first)
        note()
        self.next(self.join)

    @step
    def join(self, inputs):
        with open("numbers.txt") as file:
            numbers = file.read().split()
        print("join", seeded() == inputs[0].first, len(numbers), len(set(numbers)))
        self.again = seeded()
        self.next(self.end)

    @step
    def end(self):
        print("end", random.random() == DRAWN[0])


if __name__ == "__main__":
    SeededFlow()
