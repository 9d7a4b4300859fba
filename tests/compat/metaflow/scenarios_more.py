"""Each feature on its own, in more of its forms."""

from __future__ import annotations

from typing import Any

_CONFIG = '{"alpha": "from config", "beta": 7, "word": "w", "times": 1, "deep": {"er": 1}}'
_CONFIG_FILES = {"cfg.json": _CONFIG, "lines.txt": "x=3 y=4\n"}
_INCLUDED = {"given.txt": "one\ntwo\n", "latin.txt": "ünï", "data.json": '{"a": [1]}', "other.txt": "other"}
_LOOPS = {"ignore": ("parents", "children")}  # the real one names all tasks of a loop there


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    parts = (_graphs, _artifacts, _merges, _failures, _parameters, _configs, _decorators, _bad_decorators)
    return [one for part in parts for one in part(Scenario, run)]


def _graphs(Scenario: Any, run: Any) -> list[Any]:
    odd = ("lazy", "one", "none", "nested", "dicts", "long", "bytes", "frozenset", "empty-dict", "absent")
    return [
        run("foreach-in-branch", "foreach_in_branch"),
        run("branch-in-foreach", "branch_in_foreach"),
        run("triple-foreach", "triple"),
        run("wide-300", "wide", "--max-num-splits", "300"),
        run("wide-100-is-allowed", "wide", "--width", "100"),
        run("wide-101-is-not", "wide", "--width", "101"),
        run("one-worker", "triple", "--max-workers", "1"),
        run("deep-branches", "deep_branches"),
        *[run(f"odd-foreach-{kind}", "odd_foreach", "--kind", kind, "--max-workers", "1") for kind in odd],
        *[run(f"switch-kinds-{n}", "switch_kinds", "--level", str(n)) for n in (0, 1, 2)],
        run("switch-kinds-none", "switch_kinds", "--level", "3", "--max-workers", "1", ignore=("prints", "tasks")),
        run("loops", "loops", **_LOOPS),
        run("loops-once", "loops", "--rounds", "1", **_LOOPS),
        run("diamond", "diamond", "--beta", "20"),
        run("diamond-retry", "diamond", "--gamma", "0"),
        run("gangs", "gangs", ignore=("stdout", "prints")),  # the first task of a real gang has what all of them print
        run("gangs-one", "gangs", "--size", "1"),
    ]


def _artifacts(Scenario: Any, run: Any) -> list[Any]:
    return [
        run("inputs-access", "access"),
        run("constants", "constants"),
        run("values", "values"),
        run("names", "names", private=("_private", "_Names__mangled", "__dunder")),
        run("deleted", "deleted"),
        run("mutation", "mutation"),
        run("writes", "writes"),
        run("around", "around"),
        run("around-tags", "around", "--tag", "t1"),
        run("around-namespace", "around", "--namespace", "user:other"),
        *[
            run(f"unpicklable-{how}", "unpicklable", "--how", how, ignore=("artifacts",))
            for how in ("lambda", "generator", "nested", "local", "module", "raises")
        ],
    ]


def _merges(Scenario: Any, run: Any) -> list[Any]:
    ways = (
        *("conflict", "equal", "both", "missing", "include", "include-conflict", "set", "include-set"),
        *("exclude-unknown", "twice", "part", "linear"),
    )
    return [
        *[run(f"merge-{how}", "merging", "--how", how) for how in ways],
        run("merge-foreach", "merging_foreach"),
        run("merge-foreach-conflict", "merging_foreach", "--differ", "true"),
    ]


def _failures(Scenario: Any, run: Any) -> list[Any]:
    tries = ("raise", "die", "kill", "exit", "exit0", "text", "lock", "nonext", "interrupt")
    ends = (
        *("custom", "own", "unicode", "empty", "assert", "group", "recursion", "import", "attribute"),
        *("next-unknown", "next-none", "base"),
    )
    return [
        *[run(f"tries-{how}", "tries", "--how", how) for how in tries if how != "nonext"],
        run("tries-nonext", "tries", "--how", "nonext", ignore=("headlines",)),  # "Internal error" there
        run("tries-too-few", "tries", "--fails", "4"),
        run("tries-none", "tries", "--fails", "0"),
        run("catches", "catches"),
        run("caught-foreach", "caught_foreach"),
        run("with-catch", "raises", "--with", "catch:var=what"),
        run("with-two", "raises", "--with", "catch:var=what", "--with", "retry:times=1,minutes_between_retries=0"),
        run("late-once", "late"),
        run("late-always", "late", "--slow", "2"),
        *[run(f"raises-{how}", "raises", "--how", how) for how in ends],
    ]


def _parameters(Scenario: Any, run: Any) -> list[Any]:
    variables = {"METAFLOW_RUN_ZERO": "5", "METAFLOW_RUN_JSON_LIST": "[9]", "METAFLOW_RUN_OFF": "1"}
    kinds = (
        *("reserved", "reserved-case", "spaces", "type-mismatch", "bool-mismatch", "json-mismatch", "separator"),
        *("raising-default", "wrong-default", "both", "include-required", "unknown-option", "same-name"),
        *("none-required", "json-object", "json-function", "ok"),
    )
    broken = dict.fromkeys(("reserved-case", "same-name"), ("runs",))  # the real client cannot be imported there
    bools = ("yes", "no", "1", "0", "True", "off", "maybe", "")
    return [
        run("more-params", "more_params"),
        run("more-params-given", "more_params", "--by-function=1", "--json-object", "[]", "--words", "a|b|", "--off=y"),
        run("params-twice", "more_params", "--zero", "1", "--zero", "2"),
        run("params-environment", "more_params", env=variables),
        run("params-environment-loses", "more_params", "--zero", "6", env=variables),
        run("params-environment-bad", "more_params", env={"METAFLOW_RUN_ZERO": "five"}),
        run("params-empty", "more_params", "--empty", "", "--text-number", "", "--words", ""),
        run("params-json-scalar", "more_params", "--json-list", "5"),
        run("params-json-text", "more_params", "--json-list", "text"),
        run("params-int-float", "more_params", "--zero", "1.5"),
        run("params-float-forms", "more_params", "--real", "1e3"),
        run("params-no-value", "more_params", "--off"),
        *[run(f"params-bool-{text or 'empty'}", "more_params", "--off", text) for text in bools],
        *[run(f"bad-params-{kind}", "bad_params", env={"BAD": kind}, ignore=broken.get(kind, ())) for kind in kinds],
        Scenario("bad-params-check", "bad_params", (("check",), ("show",)), env={"BAD": "reserved"}),
        run("include", "include", files=_INCLUDED),
        run("include-given", "include", "--text", "other.txt", "--absent", "other.txt", files=_INCLUDED),
        run("include-missing", "include", files={"given.txt": "x"}),
        run("include-broken", "include", files={**_INCLUDED, "data.json": "{"}),
    ]


def _configs(Scenario: Any, run: Any) -> list[Any]:
    value = '{"env": {"COLOUR": "red"}, "size": 4}'
    files = {"c.json": value, "broken.json": "{"}
    top = ("--config", "cfg", "c.json")
    return [
        run("config", "configured", files=_CONFIG_FILES),
        Scenario(
            *(
                "config-given",
                "configured",
                (("--config-value", "fallback", '{"a": {"b": [5]}}', "run"),),
                _CONFIG_FILES,
            )
        ),
        run("config-missing-file", "configured", files={"cfg.json": _CONFIG}),
        run("config-parameter-wins", "configured", "--alpha", "given", files=_CONFIG_FILES),
        Scenario("config-file", "config_min", ((*top, "run"),), files),
        Scenario("config-value", "config_min", (("--config-value", "cfg", value, "run"),)),
        Scenario("config-required", "config_min", (("run",),)),
        Scenario("config-broken", "config_min", (("--config", "cfg", "broken.json", "run"),), files),
        Scenario("config-absent-file", "config_min", (("--config", "cfg", "none.json", "run"),), files),
        Scenario("config-unknown", "config_min", ((*top, "--config-value", "nonsense", "{}", "run"),), files),
        Scenario("config-both", "config_min", ((*top, "--config-value", "cfg", value, "run"),), files),
        Scenario(
            "config-environment", "config_min", (("run",),), env={"METAFLOW_FLOW_CONFIG_VALUE": f'{{"cfg": {value}}}'}
        ),
        Scenario(
            "config-resume", "config_min", ((*top, "run"), ("resume", "end")), files, ignore=("parents", "children")
        ),
    ]


def _decorators(Scenario: Any, run: Any) -> list[Any]:
    hooks = ("=show_file.py", "hooks.txt")
    return [
        run("hidden", "hidden"),
        run("with-environment", "hidden", "--with", 'environment:vars={"A": "by with"}'),
        run("with-resources", "linear", "--with", "resources:cpu=1,memory=100"),
        run("with-timeout", "late", "--slow", "0", "--with", "timeout:seconds=30"),
        Scenario("with-before-run", "linear", (("--with", "retry:times=1", "run"),)),
        Scenario("with-environment-variable", "linear", (("run",),), env={"METAFLOW_DECOSPECS": "retry:times=1"}),
        run("project-user", "projects"),
        Scenario("project-branch", "projects", (("--branch", "b1", "run"),)),
        Scenario("project-production", "projects", (("--production", "run"),)),
        Scenario("project-production-branch", "projects", (("--production", "--branch", "b1", "run"),)),
        Scenario("project-bad-branch", "projects", (("--branch", "has spaces", "run"),)),
        run("project-bad-name", "projects", env={"PROJECT": "Has-Dash"}),
        Scenario("project-branch-variable", "projects", (("run",),), env={"METAFLOW_BRANCH": "b2"}),
        Scenario("branch-without-project", "linear", (("--branch", "b1", "run"),)),
        run("triggered", "triggered"),
        run("finished", "finished"),
        Scenario("hooks-success", "hooked", (("run",), hooks)),
        Scenario("hooks-error", "hooked", (("run", "--fail", "true"), hooks)),
    ]


def _bad_decorators(Scenario: Any, run: Any) -> list[Any]:
    kinds = (
        *("project-no-name", "project-bad-name", "project-twice", "project-unknown", "trigger-empty", "trigger-both"),
        *("trigger-wrong", "schedule-unknown", "retry-many", "retry-negative", "retry-text", "retry-unknown"),
        *("retry-twice", "timeout-zero", "timeout-negative", "environment-type", "environment-number"),
        *("resources-text", "secrets-unknown", "secrets-wrong", "secrets-twice", "secrets-existing"),
        *("secrets-override", "catch-fine"),
    )
    broken = {"environment-type": ("runs",)}  # the real client cannot read such a run
    return [
        run(f"decorator-{kind}", "bad_flow_decorators", env={"BAD": kind}, ignore=broken.get(kind, ()))
        for kind in kinds
    ]
