"""Not a flow: what is left of a task that was ended because another one failed."""

from metaflow import Flow

task = Flow("Stopped").latest_run["slow"].task
print(
    task.stdout.splitlines(), task.stderr.splitlines(), task.finished, task.successful, task.finished_at, task.exception
)
