"""Runs under the real metaflow and under Headrace: what the Client API says of all runs of a flow, as JSON.

``python dump.py FlowName [private artifact ...]``. Ids, times and paths are left out: they differ by right.
"""

import collections
import hashlib
import json
import os
import pickle
import re
import sys

PLAIN = (str, int, float, bool, type(None))


def canonical(value):
    """A JSON form of a value that tells types apart and does not depend on how it was stored."""
    kind = type(value)
    name = kind.__name__
    if kind in PLAIN:
        return value if kind in (str, int, bool, type(None)) else [name, repr(value)]
    if kind in (list, tuple):
        return [name, [canonical(one) for one in value]]
    if kind in (set, frozenset):
        return [name, sorted((canonical(one) for one in value), key=repr)]
    if kind in (dict, collections.OrderedDict):
        return [name, [[canonical(k), canonical(v)] for k, v in value.items()]]
    if name == "MetaflowExceptionWrapper":
        # Messages of the tool itself may be better than the original's; what users raise is theirs.
        return [name, str(value.type), None if str(value.type).startswith("metaflow.") else str(value.exception)]
    if name == "ConfigValue":
        return [name, canonical(value.to_dict())]
    if name == "ndarray":
        return [name, str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    if kind.__module__ in ("builtins", "datetime", "decimal", "collections", "pathlib", "fractions", "uuid"):
        return [name, repr(value)]
    if isinstance(value, BaseException):
        return [name, canonical(value.args)]
    if vars_of(value) is not None:
        return [name, [[k, canonical(v)] for k, v in sorted(vars_of(value).items())]]
    return [name, hashlib.sha256(pickle.dumps(value, 4)).hexdigest()]


def vars_of(value):
    """The attributes of an object of a class of the user's."""
    return getattr(value, "__dict__", None)


def loaded(artifact):
    """The value of an artifact, or the kind of error that came instead."""
    try:
        return canonical(artifact.data)
    except Exception as error:
        return ["cannot be loaded", type(error).__name__]


def path_of(task):
    """The foreach indices of a task, outermost first."""
    try:
        stack = task["_foreach_stack"].data
    except KeyError:
        stack = task._stack() if hasattr(task, "_stack") else []
    return "/".join(str(frame[3]) for frame in stack or [])


def number(thing):
    """Puts runs and tasks into the order in which they were made: ``2_node_1`` is a task of a gang."""
    return [int(part) for part in re.findall(r"\d+", thing.id)]


def safely(get):
    """False where the real client falls over: it wants an artifact of tasks that have none."""
    try:
        return get()
    except KeyError:
        return False


def named(run):
    """The tasks of a run by name: step, foreach indices, and a count where both are the same (loops)."""
    found, by_pathspec = {}, {}
    for step in run:
        for task in sorted(step, key=number):
            path = path_of(task)
            key = base = f"{step.id}[{path}]" if path else step.id
            count = 0
            while key in found:
                count += 1
                key = f"{base}#{count}"
            found[key] = task
            by_pathspec[task.pathspec] = key
    return found, by_pathspec


def relatives(pathspecs, names):
    """Names of tasks; where there are many, how many of each step."""
    keys = sorted(names.get(one, "?") for one in pathspecs)
    if len(keys) <= 6:
        return keys
    return [f"{step} x{n}" for step, n in sorted(collections.Counter(key.split("[")[0] for key in keys).items())]


def plain(text):
    """A log without what depends on the time."""
    text = (text or "").replace("[KILLED BY ORCHESTRATOR]\n", "")
    text = "".join(f"{line}\n" for line in text.splitlines() if not line.startswith(">"))  # tracebacks of @catch
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (?=Step )", "", text)


def user_lines(text):
    """What user code wrote to stderr: our flows mark those lines."""
    return [line for line in (text or "").splitlines() if line.startswith("err:")]


def is_from_elsewhere(thing):
    """Whether a resume took it over. The real client says ``Flow/None`` of runs that are no resumes."""
    return "None" not in (thing.origin_pathspec or "None").split("/")


def attempts_of(task, make):
    """What earlier attempts printed."""
    return [plain(make(task.pathspec, attempt=n).stdout) for n in range(task.current_attempt or 0)]


def task_facts(task, names, private, make):
    """All that is compared of a task."""
    artifacts = {one.id: loaded(one) for one in task}
    artifacts |= {name: loaded(task[name]) for name in private if name in task}
    return {
        "index": task.index,
        "successful": task.successful,
        "finished": bool(task.finished),
        "attempt": task.current_attempt,
        "artifacts": dict(sorted(artifacts.items())),
        "stdout": plain(task.stdout),
        "stderr": user_lines(task.stderr),
        "earlier": attempts_of(task, make),
        "exception": canonical(task.exception),
        "parents": relatives(safely(lambda: [one.pathspec for one in task.parent_tasks]) or [], names),
        "children": relatives(safely(lambda: [one.pathspec for one in task.child_tasks]) or [], names),
        "cloned": is_from_elsewhere(task),
    }


def run_facts(run, private, make):
    """All that is compared of a run."""
    tasks, names = named(run)
    return {
        "successful": safely(lambda: run.successful),
        "finished": safely(lambda: run.finished),
        "has_end_task": safely(lambda: run.end_task is not None),
        "user_tags": sorted(run.user_tags),
        "system_tags": sorted(
            tag if tag.startswith(("user:", "project")) else tag.partition(":")[0] for tag in run.system_tags
        ),
        "resumed": is_from_elsewhere(run),
        "tasks": {key: task_facts(task, names, private, make) for key, task in sorted(tasks.items())},
    }


def main(name, *private):
    """Print everything about the runs of flow ``name``."""
    from metaflow import Flow, Task, namespace

    namespace(None)
    try:
        flow = Flow(name)
    except Exception as error:
        if type(error).__name__ not in ("MetaflowNotFound", "StopIteration"):
            raise
        return print(json.dumps([]))
    runs = sorted(flow, key=number)
    return print(json.dumps([run_facts(run, private, Task) for run in runs]))


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    main(*sys.argv[1:])
