"""As ``dump.py``, for runs whose ids are the same on both sides: addresses, times, origins, attempts, of many flows.

``python exact.py FlowName ...`` prints a JSON object with an entry for each flow: what ``dump`` says, and this.
"""

import contextlib
import io
import json
import os
import sys

import dump


def moment(time):
    """A time to the millisecond, which is what stores of Metaflow keep."""
    return None if time is None else round(time.timestamp() * 1000)


def origin(thing):
    """Where a resume took it from."""
    return thing.origin_pathspec if dump.is_from_elsewhere(thing) else None


def facts(task, make):
    """What is exact about a task."""
    found = {
        "created": moment(task.created_at),
        "finished": moment(task.finished_at),
        "origin": origin(task),
        "lines": [line for _, line in task.loglines("stdout") if line],
        "tags": sorted(task.tags),
        "script": task.metadata_dict.get("script-name"),
        "user": task.metadata_dict.get("user"),
        "path": task.metadata_dict.get("foreach-execution-path"),
    }
    for number in range(task.current_attempt or 0):
        earlier = make(task.pathspec, attempt=number)
        values = {one.id: dump.loaded(one) for one in earlier}
        found[f"attempt {number}"] = [dict(sorted(values.items())), dump.canonical(earlier.exception)]
    return found


def main(*flows):
    """Print it all."""
    from metaflow import Flow, Run, Task, namespace

    namespace(None)
    answer = {}
    for name in flows:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            dump.main(name, "_private")
        exact = {}
        for run in Flow(name):
            assert Run(run.pathspec).id == run.id
            assert Flow(name)[run.id].id == run.id
            exact[run.pathspec] = [moment(run.created_at), origin(run), sorted(step.id for step in run)]
            with contextlib.suppress(KeyError):  # the real client falls over runs whose end is not a task
                exact[run.pathspec].append(moment(run.finished_at))
            for step in run:
                for task in step:
                    assert Task(task.pathspec).id == task.id
                    exact[task.pathspec] = facts(task, Task)
        answer[name] = [json.loads(text.getvalue()), exact]
    print(json.dumps(answer))


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    main(*sys.argv[1:])
