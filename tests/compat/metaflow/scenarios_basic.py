"""What flows consist of: graphs, artifacts, parameters, decorators, mistakes."""

from __future__ import annotations

from typing import Any


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    return [*_graphs(run), *_parameters(run), *_decorators(run), *_mistakes(run)]


def _graphs(run: Any) -> list[Any]:
    loops = {"ignore": ("parents", "children")}  # the real one names all tasks of a loop there
    return [
        run("linear", "linear", private=("_private",)),
        run("branches", "branches"),
        run("foreach", "foreach"),
        *[run(f"iterable-{kind}", "iterables", "--kind", kind) for kind in ("tuple", "str", "set", "range")],
        run("iterable-dict", "iterables", "--kind", "dict", "--max-workers", "1"),
        run("switch-left", "switches", **loops),
        run("switch-right", "switches", "--way", "right", **loops),
        run("switch-nowhere", "switches", "--way", "up"),
        run("inherited", "inherited", "--alpha", "5"),
        run("gang", "gang", ignore=("stdout", "prints")),
        run("ends", "ends"),
        run("single", "single"),
    ]


def _parameters(run: Any) -> list[Any]:
    given = ("--text", "x y", "--number=-3", "--real", "2", "--flag", "true", "--flag2=False", "--data", '["z"]')
    more = ("--listed", "p,q,r", "--late", "l", "--other-name", "n", "--nothing", "s")
    wrong = (("number", "x"), ("real", "x"), ("flag", "x"), ("data", "{x"), ("unknown", "x"))
    binary, text = {"data.bin": "b"}, {"data.bin": "b", "t.txt": "text\n"}
    return [
        run("params-defaults", "params"),
        run("params-given", "params", *given, *more),
        *[run(f"params-wrong-{option}", "params", f"--{option}", value) for option, value in wrong],
        run("required-missing", "required", files=binary),
        run("required", "required", "--must", "1", "--file", "t.txt", files=text),
        run("include-absent", "required", "--must", "1", "--file", "none.txt", files=binary),
    ]


def _decorators(run: Any) -> list[Any]:
    return [
        run("failures", "failures"),
        run("failing", "failing", "--max-workers", "1"),
        run("environs", "environs"),
        run("tags", "linear", "--tag", "b", "--tag", "a", "--tag", "b", "--tag", "user:tester"),
        run("with-retry", "failing", "--max-workers", "1", "--with", "retry:times=1,minutes_between_retries=0"),
        run("with-unknown", "linear", "--with", "nonsense"),
        run("with-bad-attribute", "linear", "--with", "retry:often=1"),
    ]


def _mistakes(run: Any) -> list[Any]:
    # What a task of the real one has that cannot store its artifacts is nothing, not even parameters.
    kept = dict.fromkeys(("self", "lock", "input"), ("artifacts", "parents"))
    kinds = ("self", "lock", "exit", "empty", "number", "twice", "input", "c", "b")
    return [
        *[
            run(f"mistake-{how}", "mistakes", "--max-workers", "1", "--how", how, ignore=kept.get(how, ()))
            for how in kinds
        ],
        run("too-wide", "mistakes", "--max-num-splits", "3"),
    ]
