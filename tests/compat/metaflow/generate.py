"""Flows made at random: every kind of graph inside every other, artifacts that branches share, change and merge.

A seed always gives the same text. The order of what runs side by side makes no difference.
"""

from __future__ import annotations

import random

_HEAD = """from metaflow import FlowSpec, Parameter, catch, current, retry, step
from metaflow.exception import MetaflowException

import os


def note(flow, name):
    flow.trace = getattr(flow, "trace", []) + [name]
    flow.box.setdefault("seen", []).append(name)


def summary(inputs, name):
    return sorted((getattr(one, name, "none") for one in inputs), key=repr)


class Generated(FlowSpec):
    factor = Parameter("factor", default=3)
    constant = ("kept", 1)
"""


class Writer:
    """Writes steps in the order in which it meets them; every method returns the name of the step to go on with."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.steps: list[str] = []
        self.count = 0
        self.budget = 16

    def name(self, kind: str) -> str:
        """A new name for a step."""
        self.count += 1
        return f"{kind}{self.count}"

    def step(self, name: str, body: list[str], then: str, *, join: bool = False, above: str = "") -> None:
        """Write one step."""
        arguments = "self, inputs" if join else "self"
        lines = [f"    {one}" for one in above.splitlines()]
        lines += ["    @step", f"    def {name}({arguments}):", *(f"        {one}" for one in body)]
        if then:
            lines.append(f"        self.next({then})")
        self.steps.append("\n".join(lines))

    # --- what steps do ----------------------------------------------------------------------------------------

    def work(self, name: str) -> list[str]:
        """Some statements on artifacts."""
        choices = [
            ["self.number = self.number * self.factor + 1"],
            [f"self.{name}_own = [self.number, self.constant]"],
            ["self.words = {**getattr(self, 'words', {}), '" + name + "': len(self.trace)}"],
            ["self.same = 'the same everywhere'"],
            [f"print('{name}', self.number, self.index, self.input if self.input != self else None)"],
            ["self.stack = [(one[0], one[1], str(one[2])) for one in self.foreach_stack() or []]"],
            ["self.box['last'] = [self.number]"],
            ["if hasattr(self, 'same'): del self.same"],
            [f"self.either = '{name}'"],
            ["self.number_text = str(self.number); self.number += self.index or 0"],
        ]
        picked = self.random.sample(choices, self.random.randint(1, 4))
        return [f"note(self, '{name}')", *(line for one in picked for line in one)]

    def joined(self, name: str, branches: list[str]) -> list[str]:
        """How a join makes one of many."""
        lines = ["self.trace = summary(inputs, 'trace')", "self.box = {'from': summary(inputs, 'box')}"]
        lines.append("self.number = max(one.number for one in inputs)")
        how = self.random.choice(["all", "include", "exclude", "none"])
        if how == "all":
            lines += ["try:", "    self.merge_artifacts(inputs, exclude=['_catch_exception'])"]
            lines.append("except MetaflowException as error:")
            lines.append(f"    self.{name}_conflict = sorted(set(getattr(error, 'artifact_names', ['?'])))")
        elif how == "include":
            lines += ["try:", "    self.merge_artifacts(inputs, include=['same', 'words'])"]
            lines += ["except MetaflowException as error:", f"    self.{name}_conflict = type(error).__name__"]
        elif how == "exclude":
            # What the real one notes of a caught failure is an artifact, and no two of them are equal.
            excluded = "['words', 'either', 'stack', 'number_text', 'caught', '_catch_exception']"
            lines += ["try:", f"    self.merge_artifacts(inputs, exclude={excluded})"]
            lines += ["except MetaflowException as error:", f"    self.{name}_conflict = type(error).__name__"]
        if branches:
            lines.append(f"self.{name}_first = inputs.{self.random.choice(branches)}.trace")
        lines.append(f"print('{name}', len(list(inputs)), self.number)")
        return lines

    # --- graphs -----------------------------------------------------------------------------------------------

    def sequence(self, first: str, then: str, depth: int) -> None:
        """Steps from ``first`` on, the last of which goes on to ``then``."""
        name = first
        for _ in range(self.random.randint(1, 2 if depth else 3)):
            kinds = ["plain", "retried", "caught"]
            if self.budget > 0 and depth < 3:
                kinds = [*kinds[depth == 0 :], "split", "foreach", "foreach", "switch", "loop"]
            name = getattr(self, self.random.choice(kinds))(name, depth)
        self.step(name, self.work(name), f"self.{then}")

    def plain(self, name: str, depth: int) -> str:
        """One step after another."""
        after = self.name("p")
        self.step(name, self.work(name), f"self.{after}")
        return after

    def retried(self, name: str, depth: int) -> str:
        """A step whose first attempt fails, after it has changed artifacts."""
        after = self.name("r")
        body = [*self.work(name), "if current.retry_count == 0:", "    raise ValueError('not yet')"]
        self.step(name, body, f"self.{after}", above="@retry(times=2, minutes_between_retries=0)")
        return after

    def caught(self, name: str, depth: int) -> str:
        """A step that fails and whose failure is caught, or might be."""
        after = self.name("c")
        fails = ["raise KeyError(self.number)"] if self.random.random() < 0.7 else []
        self.step(
            name, [*self.work(name), *fails], f"self.{after}", above="@catch(var='caught', print_exception=False)"
        )
        return after

    def split(self, name: str, depth: int) -> str:
        """Static branches and their join."""
        self.budget -= 4
        branches = [self.name("b") for _ in range(self.random.randint(2, 3))]
        join, after = self.name("j"), self.name("p")
        self.step(name, self.work(name), ", ".join(f"self.{one}" for one in branches))
        ends = []
        for one in branches:
            ends.append(self.name("e"))
            self.sequence(one, ends[-1], depth + 1)
            self.step(ends[-1], self.work(ends[-1]), f"self.{join}")
        self.step(join, self.joined(join, ends), f"self.{after}", join=True)
        return after

    def foreach(self, name: str, depth: int) -> str:
        """A foreach over a list of one kind or another, and its join."""
        self.budget -= 4
        over = self.random.choice(["[1, 2]", "[{'k': 1}, {'k': 2}, {'k': 3}]", "('a', None)", "'xy'", "range(2)"])
        body, last, join, after = self.name("f"), self.name("e"), self.name("j"), self.name("p")
        self.step(name, [*self.work(name), f"self.{body}_items = {over}"], f"self.{body}, foreach='{body}_items'")
        self.sequence(body, last, depth + 1)
        self.step(last, self.work(last), f"self.{join}")
        self.step(join, self.joined(join, []), f"self.{after}", join=True)
        return after

    def switch(self, name: str, depth: int) -> str:
        """A choice that depends on an artifact; its ways meet in one step."""
        self.budget -= 2
        ways = [self.name("w") for _ in range(self.random.randint(2, 3))]
        after = self.name("p")
        cases = ", ".join(f"'{at}': self.{one}" for at, one in enumerate(ways))
        body = [*self.work(name), f"self.way = str((self.number + len(self.trace)) % {len(ways)})"]
        self.step(name, body, f"{{{cases}}}, condition='way'")
        for one in ways:
            self.step(one, self.work(one), f"self.{after}")
        return after

    def loop(self, name: str, depth: int) -> str:
        """A step that goes back to itself."""
        self.budget -= 2
        again, after = self.name("l"), self.name("p")
        self.step(name, [*self.work(name), f"self.{again}_round = 0"], f"self.{again}")
        body = [*self.work(again), f"self.{again}_round += 1"]
        body.append(f"self.{again}_on = 'again' if self.{again}_round < {self.random.randint(1, 3)} else 'enough'")
        self.step(again, body, f"{{'again': self.{again}, 'enough': self.{after}}}, condition='{again}_on'")
        return after


def flow_text(seed: int) -> str:
    """The flow of a seed. Its last step but one fails as long as there is no file ``fixed`` where ``FAIL`` is set."""
    writer = Writer(seed)
    first = writer.name("p")
    start = ["self.number = 1", "self.box = {}", "self.trace = []", *writer.work("start")]
    writer.step("start", start, f"self.{first}")
    writer.sequence(first, "late", 0)
    fails = ["if os.environ.get('FAIL') and not os.path.exists('fixed'):", "    raise RuntimeError('not fixed')"]
    writer.step("late", [*fails, *writer.work("late")], "self.end")
    writer.step("end", ["print('end', self.number, len(repr(self.trace)))"], "")
    return _HEAD + "\n\n".join(["", *writer.steps]) + '\n\n\nif __name__ == "__main__":\n    Generated()\n'
