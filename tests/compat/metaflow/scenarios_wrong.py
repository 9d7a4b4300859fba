"""What users do wrong: parameters, configs, mutators, decorators, graphs, merges, ``self.next``, command lines.

Most flow files here hold a table of cases; the environment variable BAD says which one is meant.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_FLOWS = Path(__file__).parent / "flows"
_CASE = re.compile(r"^ +\"([a-z][\w-]*)\": (?:lambda|broken)", re.MULTILINE)
_GRAPH = re.compile(r"^if BAD == \"(\w+)\"", re.MULTILINE)
_FILES = {"given.txt": "one\ntwo\n", "data.json": '{"a": [1]}', "c.json": '{"a": 1}', "broken.json": "{"}


def scenarios(Scenario: Any, run: Any) -> list[Any]:
    """All of this file; see ``harness.Scenario``."""
    parts = (_parameters, _values, _configs, _config_options, _graphs, _cases, _with, _top)
    return [one for part in parts for one in part(Scenario, run)]


def _kinds(flow: str, pattern: re.Pattern[str] = _CASE) -> list[str]:
    """The cases of a flow file, in its order."""
    return list(dict.fromkeys(pattern.findall((_FLOWS / f"{flow}.py").read_text())))


def _cases(Scenario: Any, run: Any) -> list[Any]:
    # An iterator shows where it is in memory; mutators print in each task of the real one.
    ignored = {
        "wrong_next": ("gone_at_once",),
        "wrong_mutators": ("prints", "stdout"),
        "merging_wrongly": ("exception",),  # texts of Python's own errors name the code that they come from
    }
    return [
        run(f"{flow.replace('_', '-')}-{kind}", flow, env={"BAD": kind}, ignore=ignored.get(flow, ()))
        for flow in ("wrong_next", "wrong_mutators", "wrong_decorators", "merging_wrongly")
        for kind in _kinds(flow)
    ]


def _parameters(Scenario: Any, run: Any) -> list[Any]:
    attributes = (
        *("name", "next", "input", "index", "hidden", "set", "delete", "set-caught", "set-name", "set-index"),
        *("set-input", "set-step", "absent", "absent-input", "none"),
    )
    broken = {"same": ("runs",)}  # the real client cannot be imported there
    return [
        *[
            run(f"wrong-params-{kind}", "wrong_params", env={"BAD": kind}, files=_FILES, ignore=broken.get(kind, ()))
            for kind in _kinds("wrong_params")
        ],
        *[run(f"wrong-attributes-{kind}", "wrong_attributes", env={"BAD": kind}) for kind in attributes],
    ]


def _values(Scenario: Any, run: Any) -> list[Any]:
    """Each type, as command line and environment give it."""
    given = {
        "whole": ("5", "-5", "5.0", "", "0x10", "1_000", " 7 ", "five", "99999999999999999999"),
        "real": ("5", "-0.5", "1e400", "nan", "inf", "", "1,5", "x"),
        "flag": ("TRUE", "y", "t", "2", " true ", "on", "none"),
        "text": ("", " ", "null", "--", "ü"),
        "tree": ("5", "null", '"text"', "[1,", "NaN", '{"a": 1}', "", "[1, [2]]", "{1}"),
        "words": ("a", "a,b", ",", "", "a,,b", " a, b "),
    }
    variables = {
        "fine": {"WHOLE": "1", "REAL": "2", "FLAG": "no", "TEXT": "t", "TREE": "[1]", "WORDS": "a,b"},
        "dash": {"WITH_DASH": "5", "UPPER": "6"},
        "dash-as-is": {"WITH-DASH": "5"},
        "lower": {"whole": "5"},
        "mixed": {"Upper": "5"},
        "bool-empty": {"FLAG": ""},
        "bool-wrong": {"FLAG": "maybe"},
        "int-empty": {"WHOLE": ""},
        "float-wrong": {"REAL": "x"},
        "json-wrong": {"TREE": "{"},
        "text-empty": {"TEXT": "", "WORDS": ""},
        "tags": {"TAG": "a b"},
        "workers": {"MAX_WORKERS": "x"},
        "splits": {"MAX_NUM_SPLITS": "0"},
        "unknown": {"NOWHERE": "x"},
    }
    return [
        *[
            run(f"typed-{name}-{number}", "typed_params", f"--{name}={text}")
            for name, texts in given.items()
            for number, text in enumerate(texts)
        ],
        *[
            run(f"typed-by-variable-{kind}", "typed_params", env={f"METAFLOW_RUN_{k}": v for k, v in one.items()})
            for kind, one in variables.items()
        ],
        run("typed-dash", "typed_params", "--with-dash", "3", "--Upper", "4"),
        run("typed-underscore", "typed_params", "--with_dash", "3"),
        run("typed-lower", "typed_params", "--upper", "4"),
        run("typed-short", "typed_params", "--who", "4"),
        run("typed-positional", "typed_params", "4"),
        run("typed-none", "typed_params", "--whole"),
    ]


def _configs(Scenario: Any, run: Any) -> list[Any]:
    more = ("parameter", "parameter-missing", "parameter-type", "parameter-same", "parameter-whole", "two", "kept")
    return [
        run(f"wrong-configs-{kind}", "wrong_configs", env={"BAD": kind}, files=_FILES)
        for kind in (*_kinds("wrong_configs"), *more)
    ]


def _config_options(Scenario: Any, run: Any) -> list[Any]:
    given = {
        "file": ("--config", "cfg", "c.json"),
        "file-absent": ("--config", "cfg", "nowhere.json"),
        "file-folder": ("--config", "cfg", "."),
        "file-broken": ("--config", "cfg", "broken.json"),
        "file-unknown": ("--config", "nonsense", "c.json"),
        "file-twice": ("--config", "cfg", "broken.json", "--config", "cfg", "c.json"),
        "value": ("--config-value", "cfg", '{"a": 2}'),
        "value-twice": ("--config-value", "cfg", '{"a": 2}', "--config-value", "cfg", '{"a": 3}'),
        "value-broken": ("--config-value", "cfg", "{"),
        "value-list": ("--config-value", "cfg", "[1]"),
        "value-number": ("--config-value", "cfg", "5"),
        "value-null": ("--config-value", "cfg", "null"),
        "value-empty": ("--config-value", "cfg", ""),
        "value-unknown": ("--config-value", "nonsense", "{}"),
        "value-upper": ("--config-value", "CFG", "{}"),
        "joined": ("--config=cfg", "c.json"),
    }
    variables = {
        "file": {"METAFLOW_FLOW_CONFIG": '{"cfg": "c.json"}'},
        "file-absent": {"METAFLOW_FLOW_CONFIG": '{"cfg": "nowhere.json"}'},
        "value": {"METAFLOW_FLOW_CONFIG_VALUE": '{"cfg": {"a": 4}}'},
        "value-text": {"METAFLOW_FLOW_CONFIG_VALUE": '{"cfg": "{\\"a\\": 5}"}'},
        "broken": {"METAFLOW_FLOW_CONFIG_VALUE": "{"},
        "list": {"METAFLOW_FLOW_CONFIG_VALUE": "[1]"},
        "unknown": {"METAFLOW_FLOW_CONFIG_VALUE": '{"nonsense": {}}'},
        "both": {"METAFLOW_FLOW_CONFIG_VALUE": '{"cfg": {}}', "METAFLOW_FLOW_CONFIG": '{"cfg": "c.json"}'},
        "empty": {"METAFLOW_FLOW_CONFIG_VALUE": "", "METAFLOW_FLOW_CONFIG": ""},
    }
    fine = {"BAD": "parameter", "METAFLOW_RUN_UNUSED": "x"}
    odd = {
        "late": ("run", "--config", "cfg", "c.json"),
        "without-value": ("--config", "cfg"),
        "without-name": ("--config-value",),
        "check": ("--config", "cfg", "nowhere.json", "check"),
        "show": ("--config-value", "cfg", "{", "show"),
        "version": ("--config-value", "cfg", "{", "version"),
        "help": ("--config-value", "cfg", "{", "--help"),
    }
    both = ("--config-value", "cfg", '{"a": 9}', "run")
    return [
        *[Scenario(f"config-by-{k}", "wrong_configs", ((*one, "run"),), _FILES, fine) for k, one in given.items()],
        *[Scenario(f"config-odd-{k}", "wrong_configs", (one,), _FILES, fine) for k, one in odd.items()],
        *[
            Scenario(f"config-variable-{kind}", "wrong_configs", (("run",),), _FILES, {**fine, **one})
            for kind, one in variables.items()
        ],
        Scenario("config-variable-loses", "wrong_configs", (both,), _FILES, {**fine, **variables["value"]}),
        Scenario("config-variable-beside", "wrong_configs", (both,), _FILES, {**fine, **variables["file"]}),
        Scenario("config-without-configs", "linear", (("--config", "cfg", "c.json", "run"),), _FILES),
    ]


def _graphs(Scenario: Any, run: Any) -> list[Any]:
    return [
        Scenario(f"graph-{kind.replace('_', '-')}", "worse_graphs", (("check",), ("run",)), env={"BAD": kind})
        for kind in _kinds("worse_graphs", _GRAPH)
    ]


def _with(Scenario: Any, run: Any) -> list[Any]:
    specs = {
        "unknown": "nonsense",
        "attribute": "retry:nonsense=1",
        "no-value": "retry:times",
        "empty-value": "retry:times=",
        "text-value": "retry:times=x",
        "no-attributes": "retry:",
        "empty": "",
        "colon": ":",
        "spaces": "retry: times = 2 , minutes_between_retries = 0",
        "twice": "retry:times=1,times=2",
        "json": 'environment:vars={"A": "1"}',
        "json-broken": 'environment:vars={"A": ',
        "list": "environment:vars=[1]",
        "comma": "catch:var=a,b",
        "number": "catch:var=5",
        "flow": "project:name=a",
        "dotted": "nowhere.decorator",
        "dotted-no-decorator": "json.loads",
        "conda": "conda:nonsense=1",
        "pypi": "pypi:nonsense=1",
        "pypi-alone": 'pypi:packages={"nothing-at-all": "1"}',
        "batch": "batch:nonsense=1",
        "kubernetes": "kubernetes:nonsense=1",
        "card": "card:nonsense=1",
        "timeout": "timeout",
        "timeout-text": "timeout:seconds=x",
        "timeout-fine": "timeout:minutes=1",
        "resources": "resources:cpu=x",
        "step": "step",
        "many": "retry:times=5",
    }
    return [
        *[run(f"with-wrong-{kind}", "linear", "--with", text) for kind, text in specs.items()],
        Scenario("with-on-top-unknown", "linear", (("--with", "nonsense", "run"),)),
        Scenario("with-on-check", "linear", (("--with", "nonsense", "check"),)),
        Scenario("with-on-show", "linear", (("--with", "retry:nonsense=1", "show"),)),
        Scenario("with-on-version", "linear", (("--with", "nonsense", "version"),)),
        run("with-by-variable", "linear", env={"METAFLOW_RUN_DECOSPECS": "nonsense"}),
        run("with-by-variables", "linear", env={"METAFLOW_RUN_DECOSPECS": "retry:times=1 catch:var=x"}),
        run("with-two-unknown", "linear", "--with", "retry", "--with", "nonsense"),
        Scenario("with-on-resume", "linear", (("run",), ("resume", "--with", "nonsense"))),
        Scenario("with-and-graph", "bad_graphs", (("run", "--with", "nonsense"),), env={"BAD": "no_end"}),
    ]


def _top(Scenario: Any, run: Any) -> list[Any]:
    """The options before the command."""
    return [
        Scenario("top-environment", "linear", (("--environment", "nonsense", "run"),)),
        Scenario("top-datastore", "linear", (("--datastore", "nonsense", "run"),)),
        Scenario("top-metadata", "linear", (("--metadata", "nonsense", "run"),)),
        Scenario("top-monitor", "linear", (("--monitor", "nonsense", "run"),)),
        Scenario("top-event-logger", "linear", (("--event-logger", "nonsense", "run"),)),
        Scenario("top-unknown", "linear", (("--nonsense", "run"),)),
        Scenario("top-branch", "linear", (("--branch", "b", "check"),)),
        Scenario("top-production", "linear", (("--production", "run"),)),
        Scenario("top-trigger", "linear", (("--trigger", "Linear/1", "run"),)),
        Scenario(
            "top-project-branch-twice", "wrong_decorators", (("--branch", "c", "run"),), env={"BAD": "project-branch"}
        ),
        Scenario(
            "top-project-branch-same", "wrong_decorators", (("--branch", "b", "run"),), env={"BAD": "project-branch"}
        ),
        Scenario(
            "top-project-production", "wrong_decorators", (("--production", "run"),), env={"BAD": "project-branch"}
        ),
        Scenario(
            "top-project-no-production",
            "wrong_decorators",
            (("--no-production", "run"),),
            env={"BAD": "project-branch"},
        ),
        Scenario("top-trigger-number", "wrong_decorators", (("--trigger", "5", "run"),), env={"BAD": "finish-fine"}),
        Scenario("top-trigger-absent", "wrong_decorators", (("--trigger", "A/5", "run"),), env={"BAD": "finish-fine"}),
        Scenario("top-bad-trigger-check", "wrong_decorators", (("check",),), env={"BAD": "trigger-events-text"}),
        Scenario("top-bad-trigger-show", "wrong_decorators", (("show",),), env={"BAD": "trigger-events-text"}),
        Scenario("top-bad-trigger-version", "wrong_decorators", (("version",),), env={"BAD": "trigger-events-text"}),
        Scenario("top-bad-parameter-version", "bad_params", (("version",), ("help",)), env={"BAD": "reserved"}),
        Scenario("top-bad-step-show", "wrong_decorators", (("show",), ("check",)), env={"BAD": "timeout-text"}),
    ]
