"""The command line of a flow file: resume, check, show, logs, dump, tag, and the Client API afterwards."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [*_resumes(Scenario), *_others(Scenario)]


def _resumes(Scenario: Any) -> list[Any]:
    fixed = ("@touch.py", "fixed")
    wide = ("run", "--base", "20", "--max-workers", "1")
    # Tasks that were taken over are no parents and children to the real client.
    return [one._replace(ignore=("parents", "children")) for one in _all_resumes(Scenario, fixed, wide)]


def _all_resumes(Scenario: Any, fixed: tuple[str, ...], wide: tuple[str, ...]) -> list[Any]:
    return [
        Scenario("resume", "resumed", (("run",), ("resume",))),
        Scenario("resume-repaired", "resumed", (("run",), fixed, ("resume",))),
        Scenario("resume-unknown-step", "resumed", (("run",), ("resume", "nowhere"))),
        Scenario("resume-of-nothing", "resumed", (("resume",),)),
        Scenario("resume-step", "linear", (("run",), ("resume", "middle"))),
        Scenario("resume-finished", "linear", (("run",), ("resume",))),
        Scenario("resume-foreach-step", "foreach", (("run",), ("resume", "after"))),
        Scenario("resume-failed-foreach", "failing", (wide, ("resume", "--max-workers", "1"))),
        Scenario("resume-repaired-foreach", "failing", (wide, fixed, ("resume",))),
    ]


def _others(Scenario: Any) -> list[Any]:
    return [*_lint(Scenario), *_client(Scenario), *_showing(Scenario), *_tagging(Scenario), *_odds(Scenario)]


def _lint(Scenario: Any) -> list[Any]:
    kinds = (
        "bad_name",
        "catch_on_foreach",
        "catch_on_switch",
        "crossing",
        "cycle",
        "decorator_inside",
        "end_is_join",
        "end_with_next",
        "foreach_into_join",
        "foreach_not_joined",
        "foreach_not_text",
        "foreach_two_targets",
        "join_is_split",
        "join_without_inputs",
        "linear_with_inputs",
        "nested_join_wrong",
        "next_in_if",
        "next_not_last",
        "no_end",
        "no_join",
        "no_next",
        "no_start",
        "no_steps",
        "one_arm_longer",
        "orphan",
        "other_than_written",
        "parallel_alone",
        "parallel_missing",
        "reserved_name",
        "split_twice_the_same",
        "step_twice",
        "switch_no_condition",
        "switch_one_case",
        "switch_to_end",
        "switch_to_join",
        "switch_unknown_target",
        "two_starts",
        "underscore_name",
        "unknown_keyword",
        "unknown_target",
    )
    crashes = ("foreach_into_join", "one_arm_longer")  # the real one has an IndexError there, and exit code 1
    return [
        Scenario(
            *(f"lint-{kind.replace('_', '-')}", "bad_graphs", (("check",), ("run",))),
            env={"BAD": kind},
            ignore=("headlines",) if kind in crashes else (),
        )
        for kind in kinds
    ]


def _client(Scenario: Any) -> list[Any]:
    fails = ("run", "--max-workers", "1")
    return [
        Scenario("client", "failing", (("@touch.py", "fixed"), ("run",), ("=ask_client.py", "Failing"))),
        Scenario("client-tags", "linear", (("run", "--tag", "given"), ("=ask_tags.py", "Linear"))),
        Scenario("client-failed", "failing", (fails, ("=ask_failed.py", "Failing"))),
        Scenario("client-raises", "raises", (("run",), ("=ask_failed.py", "Raises"))),
        Scenario("client-unpicklable", "unpicklable", (("run",), ("=ask_failed.py", "Unpicklable"))),
        Scenario("client-without-runs", "linear", (("=ask_client.py", "Linear"),)),
        Scenario("import-paths", "linear", (("=ask_parts.py",),)),
        Scenario("runner", "params", (("=use_runner.py",),)),
    ]


def _showing(Scenario: Any) -> list[Any]:
    return [
        Scenario("show", "branches", (("!show",),)),
        Scenario("show-foreach", "foreach", (("!show",),)),
        Scenario("show-switch", "switches", (("!show",),)),
        Scenario("show-decorators", "catches", (("!show",),)),
        Scenario("version", "linear", (("version",), ("help",), ("--help",), ("run", "--help"), ("output-dot",))),
        Scenario("output-dot", "branches", (("!output-dot",),)),
        Scenario("quiet", "linear", (("!--quiet", "check"), ("--quiet", "run"))),
        Scenario("logs", "writes", (("run",), ("=commands.py", "logs", "start"), ("=commands.py", "logs", "end"))),
        Scenario(
            *("logs-streams", "tries"),
            (
                *(("run",), ("=commands.py", "logs", "work"), ("=commands.py", "logs", "work", "--stdout")),
                *(
                    ("=commands.py", "logs", "work", "--stderr"),
                    ("=commands.py", "logs", "work", "--attempt", "0", "--stdout"),
                ),
                *(("=commands.py", "logs", "work", "--both"), ("=commands.py", "logs", "nowhere")),
            ),
        ),
        Scenario("dump", "linear", (("run",), ("=commands.py", "dump", "start"))),
        Scenario("dump-unknown", "linear", (("run",), ("=commands.py", "dump", "nowhere"))),
        Scenario("dump-foreach", "failing", (("@touch.py", "fixed"), ("run",), ("=commands.py", "dump", "work"))),
        Scenario("dump-private", "names", (("run",), ("=commands.py", "dump", "start", "--private"))),
        Scenario("dump-include", "linear", (("run",), ("=commands.py", "dump", "start", "--include", "text,gone"))),
        Scenario("dump-size", "linear", (("run",), ("=commands.py", "dump", "start", "--max-value-size", "5"))),
        Scenario("dump-file", "linear", (("run",), ("=commands.py", "dump-file", "end"))),
    ]


def _tagging(Scenario: Any) -> list[Any]:
    many = tuple(word for n in range(51) for word in ("--tag", f"t{n}"))
    tag = "=commands.py", "tag"
    return [
        Scenario("tag-many", "linear", (("run", *many),)),
        Scenario("tag-fifty", "linear", (("run", *many[:100]),)),
        Scenario("tag-empty", "linear", (("run", "--tag", ""),)),
        Scenario("tag-long", "linear", (("run", "--tag", "x" * 501),)),
        Scenario("tag-system", "linear", (("run", "--tag", "user:tester", "--tag", "mine"),)),
        Scenario(
            *("tag-commands", "linear"),
            (
                *(("run", "--tag", "a"), (*tag, "add", "b", "c"), (*tag, "remove", "a"), (*tag, "list")),
                *((*tag, "replace", "b", "d"), (*tag, "replace", "--remove", "c", "--add", "e", "--add", "f")),
                *((*tag, "list", "--flat"), (*tag, "remove", "user:tester"), (*tag, "add"), (*tag, "add", "")),
                *((*tag, "replace", "d"), (*tag, "list", "--hide-system-tags"), (*tag, "list", "--all")),
            ),
        ),
    ]


def _odds(Scenario: Any) -> list[Any]:
    id_file = ("run", "--run-id-file", "id.txt")
    again = {"ignore": ("parents", "children")}
    gang = ("parents", "children", "stdout", "prints")  # the first task of a real gang has what all of them print
    return [
        Scenario("check", "linear", (("check",), ())),
        Scenario("bad-command", "linear", (("nonsense",), ("run", "--nonsense"))),
        Scenario("run-id-file", "linear", ((*id_file,), ("=commands.py", "id-file", "id.txt"))),
        Scenario("run-id-file-failing", "raises", ((*id_file,), ("=commands.py", "id-file", "id.txt"))),
        Scenario(
            "attribute-file", "linear", (("run", "--runner-attribute-file", "a.json"), ("=commands.py", "attributes"))
        ),
        Scenario("bad-workers", "linear", (("run", "--max-workers", "x"), ("run", "--max-num-splits", "x"))),
        Scenario("two-runs", "single", (("run",), ("run", "--tag", "second"))),
        Scenario("resume-tags", "linear", (("run", "--tag", "a"), ("resume", "end", "--tag", "b")), **again),
        Scenario("resume-origin", "resumed", (("run",), ("=commands.py", "resume", "--origin")), **again),
        Scenario(
            "resume-unknown-run",
            "linear",
            (("run",), ("resume", "--origin-run-id", "987654321")),
            ignore=("runs", "prints"),
        ),
        Scenario("resume-from-start", "linear", (("run",), ("resume", "start")), **again),
        Scenario("resume-end", "branches", (("run",), ("resume", "end")), **again),
        Scenario("resume-branch", "branches", (("run",), ("resume", "a")), **again),
        Scenario("resume-join", "foreach", (("run",), ("resume", "join_outer")), **again),
        Scenario("resume-nested-foreach", "foreach", (("run",), ("resume", "outer")), **again),
        Scenario("resume-loop", "loops", (("run",), ("resume", "loop")), **again),
        Scenario("resume-parameters", "params", (("run", "--number", "5"), ("resume", "end")), **again),
        Scenario("resume-caught", "caught_foreach", (("run",), ("resume", "after")), **again),
        Scenario("resume-gang", "gangs", (("run",), ("resume", "join")), ignore=gang),
        Scenario("resume-gang-step", "gangs", (("run",), ("resume", "gang")), ignore=gang),
        Scenario("resume-changed-code", "edited", (("run",), ("@edit.py",), ("resume", "middle")), **again),
        Scenario("resume-twice", "resumed", (("run",), ("resume",), ("@touch.py", "fixed"), ("resume",)), **again),
        Scenario("mutated", "mutated", (("run",),)),
        Scenario("mutated-given", "mutated", (("run", "--added", "1"),)),
        Scenario("wrapped", "wrapped", (("run",),)),
    ]
