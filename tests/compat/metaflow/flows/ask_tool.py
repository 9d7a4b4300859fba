"""Not a flow: the tool ``metaflow``, with the parts of what it says that hold for all of its kind."""

import json
import os
import subprocess
import sys

ENV = {**os.environ, "METAFLOW_HOME": "conf", "METAFLOW_USER": "tester"}


def call(*words, answer=""):
    command = [sys.executable, "-m", "metaflow.cmd.main_cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=ENV, input=answer)
    lines = [one.strip() for one in done.stdout.splitlines()]
    print(words, done.returncode != 0, [one for one in lines if one.startswith(("METAFLOW_", "* "))])


def file(path):
    try:
        with open(path) as opened:
            print(path, json.load(opened))
    except OSError as error:
        print(path, type(error).__name__)


os.mkdir("conf")
call("status")
call("configure", "show")
with open("given.json", "w") as out:
    json.dump({"METAFLOW_USER": "me", "METAFLOW_A": "b"}, out)
call("configure", "import", "given.json")
file("conf/config.json")
call("configure", "show")
call("configure", "import", "nowhere.json")
call("configure", "show", "--profile", "other")
call("configure", "export", "kept.json")
file("kept.json")
call("configure", "export", "kept.json", answer="n\n")
call("configure", "export", "kept.json", answer="y\n")
call("configure", "reset", answer="n\n")
file("conf/config.json")
call("configure", "reset", answer="y\n")
file("conf/config.json")
call("configure", "reset")
call("nonsense")
call("code", "pull", "Linear/123456")
