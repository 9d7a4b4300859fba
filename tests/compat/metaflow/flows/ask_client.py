"""Not a flow: asks the Client API about the newest run of a flow, and prints answers that do not depend on ids."""

import pickle
import sys

from metaflow import DataArtifact, Flow, Metaflow, Run, Step, Task, default_namespace, get_namespace, namespace

name = sys.argv[1]


def same(one, other):
    return one.pathspec == other.pathspec


def attempt(what, make):
    try:
        print(what, make())
    except Exception as error:
        print(what, type(error).__name__)


print(get_namespace(), default_namespace())
flow = Flow(name)
run = flow.latest_run
print(
    flow.id, flow.pathspec, flow.parent, len(list(flow)), len(list(flow.runs())), same(flow.latest_successful_run, run)
)
print([one.id for one in Metaflow().flows], same(Metaflow()[name], flow))
print(run.pathspec == f"{name}/{run.id}", run.path_components == [name, run.id], run.parent.id)
print(
    run.id in flow,
    "12345" in flow,
    same(flow[run.id], run),
    same(Run(run.pathspec), run),
    repr(run) == f"Run('{run.pathspec}')",
)
print([one.id for one in run], [one.id for one in run.steps()], run.end_task.parent.id, "start" in run, "nope" in run)
print(run.successful, run.finished, run.finished_at is not None, run.created_at is not None, run.trigger)
print(run.finished_at >= run.created_at, type(run.created_at).__name__, run.is_in_namespace())
first = run["start"]
print(
    first.id, same(first.parent, run), same(first.task.parent, first), len(list(first)), first.finished_at is not None
)
print([one.id for one in first.child_steps], [one.id for one in first.parent_steps], same(Step(first.pathspec), first))
task = first.task
print(task.id in first, same(first[task.id], task), same(Task(task.pathspec), task), task.index, task.current_attempt)
print(task.successful, task.finished, task.exception, task.stdout.splitlines(), task.stderr == "")
print(task.stdout_size > 0, [line for _, line in task.loglines("stdout")], task.runtime_name)
print(sorted(one.id for one in task), "items" in task, "nope" in task, sorted(one.id for one in task.artifacts))
artifact = task["items"]
print(
    artifact.id,
    artifact.data,
    same(artifact.parent, task),
    len(artifact.sha) >= 40,
    artifact.size > 0,
    artifact.pathspec == f"{task.pathspec}/items",
)
print(DataArtifact(artifact.pathspec).data, artifact.created_at is not None, artifact.finished_at is not None)
print(task.data.items, task.artifacts.items.data, "items" in task.data, hasattr(task.data, "nope"), run.data is None)
print(artifact.sha == next(iter(task.child_tasks))["items"].sha, sorted(t.parent.id for t in task.child_tasks))
print(sorted(task.metadata_dict)[:0], task.metadata_dict["attempt"], type(task.metadata).__name__)
print([type(pickle.loads(pickle.dumps(one))).__name__ for one in (flow, run, first, task, artifact)])
print(pickle.loads(pickle.dumps(task)).data.items)
print(sorted(one.split(":")[0] for one in run.tags))
print(task.tags == run.tags, task.user_tags == first.user_tags == run.user_tags)
for what, make in {
    "no flow": lambda: Flow("Nothing"),
    "no run": lambda: Run(f"{name}/99999"),
    "no step": lambda: Step(f"{run.pathspec}/nope"),
    "no task": lambda: Task(f"{run.pathspec}/start/99999"),
    "no artifact": lambda: DataArtifact(f"{task.pathspec}/nope"),
    "run of one part": lambda: Run("one"),
    "run of three": lambda: Run("a/b/c"),
    "flow of two": lambda: Flow("a/b"),
    "item run": lambda: flow["99999"],
    "item step": lambda: run["nope"],
    "item task": lambda: first["99999"],
    "item artifact": lambda: task["nope"],
    "data": lambda: task.data.nope,
    "nothing": lambda: Run(),
}.items():
    attempt(what, make)
namespace("user:somebody")
attempt("other namespace", lambda: Flow(name))
attempt("other namespace run", lambda: Run(run.pathspec))
print(get_namespace(), [one.id for one in Metaflow()])
namespace("some-tag")
print(namespace(None), same(Run(run.pathspec), run), len(list(flow)))
