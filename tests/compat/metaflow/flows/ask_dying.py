"""What stands at the end of the stderr of both attempts of a task."""

from metaflow import Flow, Task, namespace

namespace(None)
run = Flow("Dying").latest_run
task = run["start"].task
for attempt in range(task.current_attempt + 1):
    lines = Task(task.pathspec, attempt=attempt).stderr.splitlines()
    print(attempt, lines[0], "|", lines[-1])
print(task.id, task.successful, run.successful)
