"""Asks for the cards of all tasks of all runs, and prints what does not depend on ids. ``python ask_cards.py FlowName``."""

import json
import re
import sys

from metaflow import Flow, Task, namespace
from metaflow.cards import get_cards


def answer(ask):
    """Types and ids of the cards, or the class and headline of the error."""
    try:
        cards = ask()
    except Exception as error:
        return [type(error).__name__, getattr(error, "headline", None)]
    return sorted(
        [one.type, one.id, len(one.hash), one.path.rpartition("/")[2].endswith(f"{one.hash}.html")] for one in cards
    )


def number(thing):
    return [int(part) for part in re.findall(r"\d+", thing.id)]


def whole_page(page):
    return page.lstrip().lower().startswith(("<!doctype html", "<html"))


namespace(None)
for run in sorted(Flow(sys.argv[1]), key=number):
    print("run", run.successful)
    for step in sorted(run, key=lambda one: one.id):
        if step.id.startswith("_"):
            continue
        for task in sorted(step, key=number):
            print(step.id, json.dumps(answer(lambda: get_cards(task))))
            print("    by pathspec", json.dumps(answer(lambda: get_cards(task.pathspec))))
            print("    blank", json.dumps(answer(lambda: get_cards(task, type="blank"))))
            print("    id a", json.dumps(answer(lambda: get_cards(task, id="a"))))
            print("    not followed", json.dumps(answer(lambda: get_cards(task, follow_resumed=False))))
            told = [line for line in (task.stdout or "").splitlines() if "WARNING]" in line]
            words = [
                re.findall(r"current\.card(?:\.\w+|\['.*?'\])|customize=True|MetaflowCardComponent", one)[:1]
                for one in told
            ]
            print("    warned", json.dumps(words))
            pages = answer(lambda: get_cards(task))
            if pages and isinstance(pages[0], list):
                cards = list(get_cards(task))
                print("    pages", sorted({(one.type, whole_page(one.get())) for one in cards}))
print(answer(lambda: get_cards("too/short")), answer(lambda: get_cards(5)), answer(lambda: get_cards("A/1/b/1")))
