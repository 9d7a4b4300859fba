"""The facts on tasks: names, types and values, of ordinary tasks, failed, retried and cloned ones."""

import json
import sys

from metaflow import Flow, Task, namespace

namespace(None)
#: Where things are, and what is there of runs of Headrace alone.
APART = ("ds-root", "code-package")
runs = list(Flow(sys.argv[1]))


def shown(one):
    """A fact without what differs from run to run."""
    if one.type == "card-info":
        asked = json.loads(one.value)
        return "card", {**asked, "card_uuid": asked["card_uuid"] == one.name}, one.type
    if one.name in ("origin-run-id", "origin-task-id"):
        return one.name, one.value == runs[-1].id if "run" in one.name else one.value.isdigit(), one.type
    return one.name, one.value, one.type


for run in reversed(runs):
    for step in sorted(run, key=lambda one: one.id):
        for task in sorted(step, key=lambda one: one.index or 0):
            for attempt in (None, *range(task.current_attempt or 0)):
                asked = task if attempt is None else Task(task.pathspec, attempt=attempt)
                facts = sorted({str(shown(one)) for one in asked.metadata if one.name not in APART})
                print(step.id, task.index, attempt, *facts, sep="\n  ")
            names = {name for name in task.metadata_dict if not task.metadata_dict[name] or len(name) < 30}
            print(sorted(names - set(APART)))
