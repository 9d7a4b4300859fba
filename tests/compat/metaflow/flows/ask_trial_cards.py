"""Prints the pages of the latest run of TrialCards, without what differs from run to run."""

import re

from metaflow import Flow, namespace
from metaflow.cards import get_cards

namespace(None)
run = Flow("TrialCards").latest_run
for name in ("start", "wrong"):
    for card in sorted(get_cards(run[name].task), key=lambda one: one.id or ""):
        page = card.get()
        page = page.replace(run[name].task.pathspec, "TASK")
        if card.type == "test_pathspec_card":
            page = re.sub(r" \w{6}$", " RANDOM", page)
        if card.id in ("error", "late"):  # made of other parts
            page = "an error" if "html" in page else page
        page = re.sub(r'TOKEN = "[^"]*"', "TOKEN", page)
        print(card.type, card.id, repr(page))
