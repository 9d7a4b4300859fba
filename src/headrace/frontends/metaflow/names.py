"""Names of a task's inputs and outputs that are not artifacts; shared by who runs tasks and who reads them."""

from __future__ import annotations

#: Where the flow goes on.
TRANSITION = "_transition"
#: The splits around a task.
FOREACH = "_foreach"
#: The branches of a join.
INPUTS = "_inputs"
#: Present when a failure was caught.
SUCCESS = "_success"
INTERNAL = frozenset({TRANSITION, FOREACH, INPUTS, SUCCESS})
#: Logged artifacts with this prefix are the cards of a task.
CARD = "_card_"
#: Logged artifacts with this prefix, a number and ``_`` are those of an attempt that failed and was not the last.
ATTEMPT = "_attempt_"
