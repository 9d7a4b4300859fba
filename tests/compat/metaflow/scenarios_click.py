"""Options that ``Parameter`` hands on to click."""

from __future__ import annotations

from typing import Any

_ONE = ("--the-value", "5")
_TWO = ("--the-value", "5", "6")
_BARE = ("--the-value",)
_CASES: dict[str, tuple[tuple[str, ...], ...]] = {
    "flag": ((), _BARE, ("--the-value=1",)),
    "flag-off": ((), _BARE),
    "flag-on": ((), _BARE, (*_BARE, *_BARE)),
    "flag-value": ((), _BARE),
    "flag-only-value": ((), _BARE),
    "flag-number": ((), _BARE),
    "flags": ((), (*_BARE, *_BARE)),
    "two": ((), _TWO, _ONE, (*_TWO, *_TWO)),
    "two-numbers": ((), _TWO, (*_ONE, "x")),
    "pair": ((), _TWO, (*_ONE, "x")),
    "pairs": ((), _TWO, (*_TWO, *_TWO)),
    "count": ((), _BARE, (*_BARE, *_BARE, *_BARE)),
    "count-from": ((), _BARE),
    "prompt": ((), _ONE),
    "prompt-nobody": ((), _ONE),
    "callback": ((), _ONE),
    "callback-default": ((), _ONE),
    "callback-function": ((), _ONE),
    "multiple": ((), _ONE, (*_ONE, *_ONE)),
    "multiple-numbers": ((), _ONE, (*_BARE, "x")),
    "multiple-text": ((), _ONE),
    "multiple-one": ((),),
    "required": ((), _TWO),
    "shown": ((), _ONE),
}
_ENVIRONMENTS = {
    "flag": {"METAFLOW_RUN_THE_VALUE": "1"},
    "flag-off": {"METAFLOW_RUN_THE_VALUE": "yes"},
    "two-numbers": {"METAFLOW_RUN_THE_VALUE": "3 4"},
    "pairs": {"METAFLOW_RUN_THE_VALUE": "3 4 5 6"},
    "count": {"METAFLOW_RUN_THE_VALUE": "3"},
    "count-from": {"METAFLOW_RUN_THE_VALUE": "3"},
    "multiple": {"METAFLOW_RUN_THE_VALUE": "3 4"},
    "variable": {"MY_VALUE": "3 4", "METAFLOW_RUN_THE_VALUE": "5"},
    "variables": {"MY_VALUE": "4"},
    "variable-several": {"MY_VALUE": "3 4"},
    "variable-off": {"METAFLOW_RUN_THE_VALUE": "5"},
}


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    given = [
        Scenario(f"click-{kind}", "click_params", tuple(("run", *words) for words in cases), env={"KIND": kind})
        for kind, cases in _CASES.items()
    ]
    found = [
        run(f"click-{kind}-variable", "click_params", env={"KIND": kind, **variables})
        for kind, variables in _ENVIRONMENTS.items()
    ]
    return [
        *given,
        *found,
        run("click-variable-empty", "click_params", env={"KIND": "variable", "MY_VALUE": ""}),
        Scenario("click-resumed", "click_params", (("run", *_TWO), ("resume", "end")), env={"KIND": "pair"}),
    ]
