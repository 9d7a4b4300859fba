"""Not a flow: what the Client API says of the newest run, which failed."""

import sys

from metaflow import Flow

flow = Flow(sys.argv[1])
run = flow.latest_run
print(run.successful, run.finished, run.finished_at is None, run.end_task is None, run.data is None)
for step in sorted(run, key=lambda one: one.id):
    for task in sorted(step, key=lambda one: one.index or 0):
        error = task.exception
        print(step.id, task.index, task.successful, task.finished, task.finished_at is not None, task.current_attempt)
        print(error and (error.type, str(error.exception), bool(error.stacktrace), "Traceback" in error.stacktrace))
        print("Traceback" in task.stderr, sorted(one.id for one in task))
