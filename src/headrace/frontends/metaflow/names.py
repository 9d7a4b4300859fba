"""Names in the store: of a task's inputs and outputs that are not artifacts, and of classes that artifacts are of."""

from __future__ import annotations

from typing import TypeVar

C = TypeVar("C", bound=type)

#: Where the flow goes on. It is so called there, too: what a step itself puts there is lost.
TRANSITION = "_transition"
#: The splits around a task. No attribute can be called so, as none can be called as the next one.
FOREACH = "_:foreach"
#: The branches of a join.
INPUTS = "_:inputs"
#: Present when a failure was caught.
SUCCESS = "_success"
#: The inputs of a spun join begin so: its branches are not of its run.
BRANCH = "_:inputs["
INTERNAL = frozenset({TRANSITION, FOREACH, INPUTS, SUCCESS})
#: ``self.name``: the name of the flow when a step begins. What the step sets is an artifact of its task alone.
FLOW_NAME = "name"
#: Logged artifacts with this prefix are the cards of a task: ``_card_TYPE-ID-HASH.html`` or ``_card_TYPE-HASH.html``.
CARD = "_card_"
CARD_ENDING = ".html"
#: Logged artifacts with this prefix, a number and ``_`` are those of an attempt that failed and was not the last.
ATTEMPT = "_attempt_"


def branch_input(number: int) -> str:
    """The name of an input of a spun join."""
    return f"{BRANCH}{number}]"


def is_artifact(name: str) -> bool:
    """Whether an input or output is an artifact of the flow."""
    return name not in INTERNAL and not name.startswith(BRANCH)


def stored(cls: C) -> C:
    """Let pickles know a class by its public module, so that it may move: ``headrace.metaflow`` has it by its name."""
    cls.__module__ = "headrace.metaflow"
    return cls
