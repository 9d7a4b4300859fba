"""Not a flow: what the Client API says of the newest run of ``Asked``, without what depends on ids and times."""

from datetime import datetime, timedelta

from metaflow import DataArtifact, Flow, Metaflow, Run, Step, Task, default_metadata, get_metadata, namespace
from metaflow import metadata as choose

run = Flow("Asked").latest_run
print(run._graph_endpoints, [one.id for one in run], [one.id for one in run.steps("asked")], list(run.steps("nope")))
#: Entries that are of the real one's stores, or that only a run with a code package has.
OTHERS = {"code-package", "git-info"}
for step in run:
    print(step.id, sorted(one.id for one in step.parent_steps), sorted(one.id for one in step.child_steps))
    print("  ", len(list(step.tasks("asked"))), len(list(step.tasks("nope"))), len(list(step.control_tasks())))
    print("  ", step.control_task is not None, step.finished_at == max(one.finished_at for one in step))
    moments = [one.created_at for one in step]
    print("  ", moments == sorted(moments, reverse=True))
    for task in sorted(step, key=lambda one: (one.index or 0, int(one.id.split("_")[0]))):
        names = sorted({one.name for one in task.metadata} - OTHERS)
        facts = task.metadata_dict
        print("  ", task.index, task.current_attempt, task.successful, task.finished, names)
        print("  ", facts["attempt"], facts["attempt_ok"], facts["attempt-done"], facts["user"], facts["runtime"])
        print(
            "  ",
            facts["script-name"],
            facts["origin-run-id"],
            facts.get("foreach-execution-path"),
            facts.get("foreach-stack"),
        )
        print("  ", facts.get("parallel-world-size"), facts.get("internal_task_type"), facts["ds-type"])
        print(
            "  ", task["_task_ok"].data, task["_success"].data, [list(one)[:4] for one in task["_foreach_stack"].data]
        )
        print("  ", [one.value for one in task["_foreach_stack"].data], task["_graph_info"].data["start_step"])
entry = run["start"].task.metadata[0]
print(
    type(entry).__name__,
    entry._fields,
    type(entry.created_at).__name__,
    entry.task.pathspec == run["start"].task.pathspec,
)
kinds = {one.name: one.type for one in run["start"].task.metadata}
print(sorted((name, kind) for name, kind in kinds.items() if name not in OTHERS))

print("--- attempts")
last = run["right"].task
for number in range(3):
    task = Task(last.pathspec, attempt=number)
    print(
        number, task.current_attempt, task.successful, task.finished, task.finished_at is not None, task.stdout.split()
    )
    print("  ", sorted((one.id, one.data) for one in task), f"ValueError: no {number}" in task.stderr)
    print("  ", task.exception and (task.exception.type, str(task.exception.exception)), task.metadata_dict["attempt"])
    print(
        "  ",
        task.data.y,
        task.artifacts.y.data,
        "y" in task.data,
        "y" in task,
        task["y"].pathspec == f"{task.pathspec}/y",
    )
    print(
        "  ",
        DataArtifact(f"{task.pathspec}/y", attempt=number).data,
        repr(task["y"]).endswith(f"/y', attempt={number})"),
    )
task = Task(last.pathspec, attempt=4)
print(task.current_attempt, list(task), task.successful, task.finished, task.finished_at, task.exception)
for wrong in (-1, "x"):
    try:
        Task(last.pathspec, attempt=wrong)
    except Exception as error:
        print(type(error).__name__, str(error))
for kind, path in ((Run, run.pathspec), (Step, run["end"].pathspec), (Flow, "Asked")):
    try:
        kind(path, attempt=0)
    except Exception as error:
        print(type(error).__name__, str(error))
print(Task(last.pathspec, attempt="1").current_attempt)

print("--- logs")
start = run["start"].task
lines = list(start.loglines("stdout"))
print([line for _, line in lines][:3], [type(when).__name__ for when, _ in lines][:1], list(start.loglines("nothing")))
print(
    abs(lines[0][0] - datetime.utcnow()) < timedelta(minutes=30),
    lines[0][0].tzinfo,
    lines == sorted(lines, key=lambda x: x[0]),
)
print([line for _, line in start.loglines("stdout", as_unicode=False)][:1], start.stdout_size > 0, start.stderr_size)
print(start.stdout.endswith("\n"), repr(run["wide"].task.stdout), repr(run["wide"].task.stderr))

print("--- addresses")
for make in (
    lambda: Run("Asked/9"),
    lambda: Run("Asked/x"),
    lambda: Step(run.pathspec + "/nope"),
    lambda: Task(start.pathspec + "/"),
    lambda: Task("a"),
    lambda: Flow("Nope"),
    lambda: Metaflow()["Nope"],
    lambda: Run(None),
    lambda: run["start"]["x"],
    lambda: start["nope"],
    lambda: DataArtifact(start.pathspec + "/nope"),
    lambda: start.data.nope,
):
    try:
        print(make())
    except Exception as error:
        said = str(error).replace(start.pathspec, "TASK").replace(run.pathspec, "RUN")
        print(type(error).__name__, said if not isinstance(error, TypeError) else "")
print(
    str(run) == f"Run('{run.pathspec}')",
    str(Metaflow()),
    dir(start.data)[:1] != [],
    "Asked" in [one.id for one in Metaflow()],
)
print(
    start.parent.parent.parent.id,
    start.parent.parent.parent.parent,
    run.parent.pathspec,
    start["x"].parent.pathspec == start.pathspec,
)
print(
    run["end"].task.created_at <= run["end"].task.finished_at <= run["end"].task["x"].finished_at + timedelta(seconds=5)
    if "x" in run["end"].task
    else "none"
)

print("--- namespaces")
print(
    run.is_in_namespace(), len(list(Flow("Asked").runs("asked", "user:tester"))), len(list(Flow("Asked").runs("nope")))
)
flow = Flow("Asked")
namespace("user:somebody")
print(run.is_in_namespace(), len(list(flow)), flow.latest_run.id == run.id, list(Metaflow()))
for make in (
    lambda: Flow("Asked"),
    lambda: Run(run.pathspec),
    lambda: Task(start.pathspec),
    lambda: Metaflow()["Asked"],
):
    try:
        print(make())
    except Exception as error:
        print(type(error).__name__, "user:somebody" in str(error))
print(Run(run.pathspec, _namespace_check=False).id == run.id, start.data.x, run.parent.latest_run.id == run.id)
namespace("asked")
print(len(list(Flow("Asked"))), Flow("Asked").latest_run.id == run.id)
namespace(None)

print("--- stores")
here = get_metadata()
print(here == default_metadata(), here.partition("@")[0], choose(here) == here, Flow("Asked").latest_run.id == run.id)
try:
    choose("local@/nowhere/at/all")
except Exception as error:
    print(type(error).__name__)
