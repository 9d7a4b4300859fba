"""The Client API in full, and the commands that look at runs: tags, logs, packages, graphs, triggers."""

from __future__ import annotations

from typing import Any

_RUN = ("run", "--tag", "asked", "--max-workers", "2")
#: Which of two runs is the newer one, and whether its tags are those given.
_TAGS = (
    *("tag add x", "tag add --run-id RUN x y", "tag remove --run-id RUN y", "tag list --run-id RUN", "tag list RUN"),
    *("tag list", "tag list --flat", "tag list --all --hide-system-tags", "tag list --my-runs --group-by-run"),
    *("tag list --group-by-tag --hide-system-tags", "tag list --run-id RUN RUN", "tag list --all --my-runs"),
    *("tag list --group-by-tag --group-by-run", "tag list --flat --group-by-run", "tag list --run-id 987654321"),
    *("--quiet tag list", "--quiet tag list --group-by-run", "--quiet tag list --group-by-tag"),
    *("--quiet tag list --run-id RUN", "tag replace --run-id RUN --add z", "tag replace --run-id RUN --remove x"),
    *("tag replace --run-id RUN", "tag replace --run-id RUN --add z --remove x", "--quiet tag add --run-id RUN q"),
    *("tag add --run-id RUN --namespace user:somebody q", "tag add --run-id RUN --namespace asked q2"),
    *("tag remove --run-id RUN user:tester", "tag add --run-id Asked/RUN q", "tag add --run-id 987654321 q"),
    *("tag list --flat --run-id RUN --hide-system-tags", "tag add --run-id FIRST first", "tag list FIRST"),
)
_LOGS = (
    *("logs show RUN/right", "logs RUN/right", "logs --stdout RUN/right", "logs show --attempt 0 --stdout RUN/right"),
    *("logs show --attempt 1 --stdout RUN/right/TASK", "logs show --timestamps --stdout RUN/left", "logs RUN"),
    *("logs show RUN/nowhere", "logs show --stderr RUN/left", "logs show --no-both RUN/left"),
    "--quiet logs RUN/left+1",
)
_SCRUB = (
    *("logs scrub RUN/left", "logs show RUN/left", "logs scrub --stdout RUN/right", "logs show --stdout RUN/right"),
    *("logs show --attempt 0 --stdout RUN/right", "logs scrub --attempt 0 RUN/right/TASK"),
    *("logs show --attempt 0 RUN/right", "logs show --attempt 1 --stdout RUN/right", "logs scrub --all RUN/right"),
    *("logs show --attempt 1 RUN/right", "logs scrub RUN/nowhere", "logs scrub RUN", "logs scrub --stderr RUN/left"),
    *("logs scrub --include-not-done --both RUN/end", "logs show RUN/end", "--quiet logs scrub RUN/end"),
)


_PACKAGE = ("package list", "package save kept.tgz", "package info", "package save no/such/place.tgz+1")


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    # The first task of a real gang has all that its tasks print.
    again = {"ignore": ("parents", "children", "stdout", "prints")}
    calls = "=call_commands.py"
    other = {"ignore": ("runs",)}
    return [
        Scenario("client-members", "asked", (("=ask_members.py",),)),
        Scenario("client-all", "asked", (_RUN, ("=ask_all.py",)), **again),
        Scenario("client-pickles", "asked", (_RUN, ("=ask_pickles.py",)), **other),
        Scenario("tag-list", "asked", (_RUN, ("run",), (calls, *_TAGS)), **other),
        Scenario("logs-show", "asked", (_RUN, (calls, *_LOGS)), **other),
        Scenario("logs-scrub", "asked", (_RUN, (calls, *_SCRUB)), **other),
        Scenario(
            *("package", "asked"),
            (_RUN, (calls, *_PACKAGE)),
            **other,
        ),
        Scenario(
            *("output-raw", "asked"),
            (_RUN, (calls, "output-raw", "output-raw --json", "--quiet output-raw+1", "--quiet show", "check+1")),
            **other,
        ),
        Scenario("trigger", "downstream", (("@upstream.py", "run"), ("@upstream.py", "run"), ("=call_trigger.py",))),
        Scenario("stopped", "stopped", (("run",), ("=ask_stopped.py",)), ignore=("prints",)),
        Scenario(
            *("log-size", "talks"), (("run", "--max-log-size", "1"), ("=ask_talks.py",)), ignore=("stdout", "prints")
        ),
        *_options(Scenario),
    ]


def _options(Scenario: Any) -> list[Any]:
    return [
        Scenario("top-quiet", "linear", (("!show",), ("run",)), env={"METAFLOW_QUIET": "1"}),
        Scenario("top-with", "linear", (("run",),), env={"METAFLOW_DECOSPECS": "retry:times=1 environment"}),
        Scenario("top-with-wrong", "linear", (("run",),), env={"METAFLOW_DECOSPECS": "nothing"}),
        Scenario("run-tag-variable", "linear", (("run",),), env={"METAFLOW_RUN_TAGS": "one two"}),
        Scenario("run-workers-variable", "linear", (("run",),), env={"METAFLOW_RUN_MAX_WORKERS": "none"}),
        Scenario(
            *("top-refused", "linear"),
            (
                *(("--metadata", "nothing", "check"), ("--metadata", "local", "--datastore", "local", "check")),
                *(("--environment", "nothing", "check"), ("--environment", "local", "--no-pylint", "check")),
                *(("--event-logger", "nothing", "check"), ("--monitor", "nothing", "check")),
                *(("--event-logger", "debugLogger", "--monitor", "debugMonitor", "check"), ("--nothing", "check")),
                *(("--branch", "b", "check"), ("--production", "check"), ("--trigger", "a/b", "check")),
                *(("--not-quiet", "version"), ("--quiet",), ("--package-suffixes", ".py,.txt", "check")),
            ),
        ),
    ]
