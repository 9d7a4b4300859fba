"""Cards: how many, of which types and ids, what ``current.card`` does, what the commands answer."""

from __future__ import annotations

from typing import Any

#: What asks about the cards of all runs.
_ASK = "=ask_cards.py"
#: Warnings are lines of the task's output, in other words. ``ask_cards`` counts them.
_WARNED = ("stdout", "prints")

#: Where the traceback of a card goes that cannot be rendered.
_FAILED = ("prints", "stdout")


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [
        Scenario("cards-trials", "trial_cards", (("run",), ("=ask_trial_cards.py",)), ignore=_FAILED),
        Scenario("cards", "carded", (("run",), (_ASK, "Carded")), ignore=_WARNED),
        Scenario("cards-retried", "carded_tries", (("run",), (_ASK, "CardedTries"))),
        Scenario("cards-refreshed", "carded_tries", (("run", "--refresh", "true"), (_ASK, "CardedTries"))),
        Scenario("cards-caught", "carded_tries", (("run", "--how", "caught"), (_ASK, "CardedTries"))),
        Scenario("cards-failed", "carded_tries", (("run", "--how", "end"), (_ASK, "CardedTries"))),
        Scenario("cards-parts", "carded_small", (("=card_parts.py",),)),
        Scenario("cards-commands", "carded_small", (("run",), ("=ask_card_commands.py",))),
        Scenario("cards-commands-without-runs", "carded_small", (("card", "list"), ("card", "get", "end"))),
        Scenario(
            "cards-resumed",
            "carded_small",
            (("@touch.py", "broken"), ("run",), ("resume",), (_ASK, "CardedSmall")),
        ),
        Scenario(
            "cards-resumed-twice",
            "carded_small",
            (("run",), ("resume", "work"), ("resume", "end"), (_ASK, "CardedSmall"), ("card", "get", "work")),
        ),
        Scenario("cards-with", "carded_small", (("run", "--with", "card:type=blank,id=w"), (_ASK, "CardedSmall"))),
        Scenario("cards-with-wrong", "carded_small", (("run", "--with", "card:nothing=1"),)),
    ]
