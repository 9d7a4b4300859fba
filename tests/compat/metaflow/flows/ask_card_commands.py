"""Calls the card commands of ``carded_small.py``; prints exit codes, headlines, and what does not depend on ids."""

import json
import os
import re
import subprocess
import sys

CALLS = [
    "list",
    "list work",
    "list work --type blank",
    "list work --type other",
    "list work --id note",
    "list work --id other",
    "list none",
    "list absent",
    "list 7777777/start",
    "list a/b/c/d",
    "list --type blank",
    "list --type other",
    "list work --as-json",
    "list --as-json",
    "list work --as-json --file cards.json",
    "list --as-json --file all.json",
    "get work",
    "get work --type default",
    "get work --id note",
    "get work --id other",
    "get none",
    "get end page.html",
    "get end deep/er/page.html",
    "get end --hash 00000000",
    "get end --no-follow-resumed",
    "get",
    "view",
    "view absent",
    "create RUN/end/TASK",
    "create RUN/end/TASK --type blank --id made",
    "create RUN/end/TASK --type other",
    "create RUN/end/TASK --type other --render-error-card",
    "create RUN/end/TASK --id wrong!",
    "create RUN/end/TASK --options [",
    "create RUN/end/TASK --mode other",
    "create RUN/end",
    "create RUN/end/7777777",
    "list end",
    "nothing",
    "list --nothing",
]


def shape(value):
    """Names of the fields and types of their values."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return sorted((shape(one) for one in value), key=repr)
    return value if value in ("default", "blank", "note", "made", None) else type(value).__name__


def call(line, place):
    words = line.replace("RUN/end/TASK", place).replace("RUN", place.split("/")[0]).split()
    command = [sys.executable, "carded_small.py", "card", *words]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r"^    ([A-Z][^:\n]*):$", done.stderr, re.MULTILINE)
    headline = found[1] if done.returncode and found else None
    kinds = re.findall(r"Card (?:Id|Type): (.*)", done.stdout + done.stderr)
    text = done.stdout.strip()
    told = json.dumps(shape(json.loads(text)), sort_keys=True) if text[:1] in ("[", "{") else bool(text)
    print(line, "|", done.returncode, headline, sorted(kinds), told)


def main():
    from metaflow import Flow, namespace

    namespace(None)
    run = Flow("CardedSmall").latest_run
    place = f"{run.id}/end/{run['end'].task.id}"
    for line in CALLS:
        call(line, place)
    for file in ("cards.json", "all.json"):
        with open(file) as text:
            print(file, json.dumps(shape(json.load(text)), sort_keys=True))
    print(os.path.getsize("page.html") > 100, os.path.getsize("deep/er/page.html") > 100)


main()
