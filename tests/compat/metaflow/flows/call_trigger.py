"""Not a flow: runs ``downstream.py`` as if runs of ``Upstream`` had started it."""

import subprocess
import sys
from datetime import datetime

from metaflow import Flow, namespace
from metaflow.events import Trigger

namespace(None)


def call(*words):
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    lines = [line.partition("] ")[2] for line in done.stdout.splitlines() if "(pid " in line and "Task " not in line]
    print(words[-1], done.returncode, *lines, sep="\n  ")
    print([line.strip() for line in done.stderr.splitlines()[1:2]] if done.returncode == 1 else "")


runs = list(Flow("Upstream"))
call("downstream.py", "run")
call("downstream.py", "--trigger", runs[0].pathspec, "run")
call("downstream.py", "--trigger", runs[0].pathspec, "--trigger", runs[1].pathspec, "run")
call("downstream.py", "--trigger", "Upstream", "run")
call("downstream.py", "--trigger", "Upstream/987654321", "run")
call("upstream.py", "--trigger", runs[0].pathspec, "run")
print(len(list(Flow("Downstream"))))
trigger = Trigger.from_runs(runs)
print(len(trigger.runs), trigger.run.id == runs[0].id, len(trigger.events), trigger["Upstream"].id == runs[0].id)
trigger = Trigger(
    [
        {"name": "a", "id": "1", "timestamp": 5, "type": "event"},
        {"name": "b", "id": "2", "timestamp": 7, "type": "event"},
    ]
)
print(trigger.event.name, trigger.run, trigger.runs, [one.name for one in trigger], trigger["a"].id, "c" in trigger)
print(trigger.event.timestamp == datetime.fromtimestamp(7), Trigger().event, Trigger().events, list(Trigger()))
try:
    trigger["c"]
except KeyError as error:
    print("KeyError", error)
