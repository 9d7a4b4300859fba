"""Not a flow: what the Client API says of the artifacts that Metaflow itself makes, in all tasks of the newest run."""

import re

from metaflow import DataArtifact, Metaflow, Task, namespace

NAMES = (
    *("_task_ok", "_success", "_foreach_stack", "_foreach_var", "_foreach_num_splits", "_foreach_values"),
    *("_transition", "_exception", "_current_step", "_unbounded_foreach", "_control_mapper_tasks", "_iteration_stack"),
    *("_control_task_is_mapper_zero", "_parallel_ubf_iter", "_configs_processed", "_graph_info", "_mine", "_nothing"),
)

namespace(None)
run = next(iter(Metaflow())).latest_run


def shown(value):
    if isinstance(value, dict):
        return sorted(value)
    if type(value).__name__ == "ParallelUBF":
        return f"ParallelUBF {value.num_parallel} {[value[one] for one in (None, 0, 1)]}"
    if type(value).__name__ == "MetaflowExceptionWrapper":
        return value.type, value.exception
    return re.sub(r"\d+/gang/\w+", "RUN/gang/TASK", repr(value))


lines = []
for step in run:
    for task in step:
        found = {name: shown(task[name].data) for name in NAMES if name in task}
        lines.append(f"{step.id} {task.index} {found}")
print(*sorted(lines), sep="\n")
task = run["fan"].task
assert DataArtifact(f"{task.pathspec}/_foreach_var").data == "items"
assert Task(task.pathspec)["_foreach_num_splits"].data == 5
print(sorted(one.id for one in task), hasattr(task.data, "_foreach_var"), hasattr(task.artifacts, "_foreach_var"))
