"""Not a flow: pickles objects of the Client API and takes them out in another process, elsewhere."""

import pickle
import subprocess
import sys
import tempfile

from metaflow import Flow, Task, get_namespace, namespace

READ = """
import pickle, sys
from metaflow import get_namespace, namespace
for one in pickle.load(open(sys.argv[1], "rb")):
    print(type(one).__name__, len(one.pathspec.split("/")), one.id.isdigit(), one.parent and one.parent.pathspec.split("/")[0])
    if hasattr(one, "data"):
        print("  ", one.data if type(one).__name__ == "DataArtifact" else one.data.alpha)
    if hasattr(one, "current_attempt"):
        print("  ", one.current_attempt, one.stdout.split())
    if type(one).__name__ != "DataArtifact":
        print("  ", sorted(child.id for child in one if not child.id.split("_")[0].isdigit()))
print(get_namespace())
"""
flow = Flow("Asked")
run = flow.latest_run
task = run["right"].task
objects = [flow, run, run["right"], task, Task(task.pathspec, attempt=0), task["x"]]
for one in objects:
    again = pickle.loads(pickle.dumps(one))
    print(type(again) is type(one), again.pathspec == one.pathspec, again.id == one.id)
namespace(None)
everywhere = Flow("Asked").latest_run["end"].task
namespace("user:tester")
with tempfile.NamedTemporaryFile(suffix=".pickle") as file:
    pickle.dump([*objects, everywhere], file)
    file.flush()
    done = subprocess.run(
        [sys.executable, "-c", READ, file.name],
        cwd="/",
        capture_output=True,
        text=True,
        env={**__import__("os").environ},
    )
print(done.returncode, done.stdout, done.stderr.strip().splitlines()[-1:])
namespace("user:nobody")
print(pickle.loads(pickle.dumps(run)).id == run.id, get_namespace())
