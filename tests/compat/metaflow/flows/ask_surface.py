"""Types of what the Client API hands out."""

from surface import kind

from metaflow import Flow, Metaflow, namespace

namespace(None)
flow = Flow("Surface")
run = flow.latest_run
task = run["each"].task


def members(thing, names):
    """Types of attributes, and of what they hold when it is gone through."""
    for name in names.split():
        value = getattr(thing, name)
        through = sorted({type(one).__name__ for one in value}) if hasattr(value, "__next__") else ""
        print(type(thing).__name__, name, kind(value), through)


members(Metaflow(), "flows")
members(flow, "tags user_tags system_tags path_components latest_run")
members(run, "tags user_tags system_tags path_components finished successful created_at finished_at id end_task data")
members(run["each"], "parent_steps child_steps tags task path_components")
members(task, "parent_tasks child_tasks parent_task_pathspecs child_task_pathspecs metadata_dict path_components")
members(task, "index current_attempt tags stdout stderr stdout_size artifacts data runtime_name origin_pathspec")
print(kind(flow.runs()), kind(run.steps()), kind(run["each"].tasks()), kind(iter(run)), kind(iter(task)))
print(kind(task.loglines("stdout")), sorted({type(one).__name__ for one in task.metadata}), kind(task["stack"].data))
print(
    kind(run["start"].task["config"].data), kind(run["start"].task["several"].data), kind(task["_foreach_stack"].data)
)
print(kind(run.add_tags(["x", "y"])), kind(run.user_tags), sorted(run.user_tags))
