"""Not a flow: calls commands of ``asked.py`` and prints their code, stdout and stderr without ids and times.

Each argument is a command; RUN stands for the id of the newest run, FIRST for that of the oldest, TASK for that of the
task of ``right``. ``+1`` after a command: print its stdout only.
"""

import json
import os
import re
import subprocess
import sys
import tarfile

from metaflow import Flow, namespace

namespace(None)
runs = list(Flow("Asked"))
names = {"RUN": runs[0].id, "FIRST": runs[-1].id}
given = {**names, "TASK": runs[0]["right"].task.id}


def stable(text):
    text = text.replace(os.getcwd(), "FOLDER")
    for name, value in names.items():
        text = re.sub(
            rf"(?<=Asked/){value}\b|(?<=run_id=){value}\b|\b{value}(?=/\w*[a-z])|(?<=has id ){value}\b", name, text
        )
    text = re.sub(r"(task_id=|/(?:left|right|start|end)/)[\w]+", r"\1TASK", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", "TIME", text)
    text = re.sub(r"python_version:[\d.]+", "python_version:X", text)
    text = re.sub(r"  +", "  ", text)  # ids are of other lengths there, and with them the columns
    return [line.rstrip() for line in text.splitlines() if line.strip()]


for words in sys.argv[1:]:
    command = words.removesuffix("+1")
    arguments = [re.sub("RUN|FIRST|TASK", lambda found: given[found[0]], word) for word in command.split()]
    done = subprocess.run([sys.executable, "asked.py", *arguments], capture_output=True, text=True)
    print("$", command, done.returncode)
    out, err = stable(done.stdout), stable(done.stderr)
    if "package list" in command:
        err = sorted(line for line in err if line.startswith("FOLDER") and "asked" in line)
    if "package save" in command:
        with tarfile.open(arguments[-1]) as archive:
            print(sorted(os.path.basename(one) for one in archive.getnames() if "asked" in one))
        err = []
    if "package info" in command:
        err = [line for line in err if "irectory" in line][:1]
    if "--json" in command:
        found = json.loads("\n".join(out))
        out = [sorted(found), found["graph_structure"], found["graph"]["start"], found["graph"]["split"]]
    if done.returncode:  # what the tool says of mistakes is its own
        err = [line for line in err if line.endswith(":")]
    if "--flat" in command or "--all" in command:
        err = sorted(err)
    print(*out, sep="\n")
    if not words.endswith("+1"):
        print("!", *err, sep="\n")
