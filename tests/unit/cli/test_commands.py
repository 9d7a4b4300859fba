"""Every command on a store with runs in it: texts, JSON shapes, exit codes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headrace.cli.main import COMMANDS, headrace_command

RUN_KEYS = {
    *("name", "flow", "number", "state", "driver", "created", "started", "finished", "duration", "session", "user"),
    *("host", "params", "metrics", "tags", "queue", "failed_task", "error", "pinned", "archived", "deleted"),
    *("waits_for", "waits_seen"),
}
ARTIFACT_KEYS = {"name", "task", "kind", "type", "text", "facts", "table", "codec", "size", "digest", "created"}
SHAPES: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "runs": (("runs", "--json"), RUN_KEYS),
    "show-run": (
        ("show", "numbers/1", "--json"),
        {
            *(
                "run",
                "steps",
                "running",
                "metrics",
                "artifacts",
                "artifacts_size",
                "failure",
                "environments",
                "questions",
            ),
            "surroundings",
        },
    ),
    "show-step": (
        ("show", "numbers/1/square", "--json"),
        {
            *("name", "step", "number", "state", "reused", "reused_from", "attempts", "created", "started"),
            *("finished", "duration", "error"),
        },
    ),
    "show-task": (
        ("show", "numbers/1/square/1", "--json"),
        {
            *("name", "run", "step", "number", "state", "reused", "reused_from", "session", "created", "started"),
            *("finished", "duration", "cpu_seconds", "peak_memory", "tags", "inputs", "outputs", "attempts"),
            *("metrics", "parents", "children", "key", "cache_key", "code", "environment", "environment_label"),
            "error",
        },
    ),
    "artifacts": (("artifacts", "numbers/1", "--json"), ARTIFACT_KEYS),
    "get": (("get", "numbers/1", "--json"), ARTIFACT_KEYS),
    "diff": (
        ("diff", "numbers/1", "numbers/3", "--json"),
        {"left", "right", "facts", "params", "files", "packages", "metrics", "steps", "outputs", "result"},
    ),
    "explain": (
        ("explain", "numbers/3/square/1", "--json"),
        {
            *(
                "task",
                "state",
                "verdict",
                "reason",
                "place",
                "host",
                "step",
                "occurrence",
                "inputs",
                "code",
                "code_parts",
            ),
            *("code_changed", "environment", "environment_label", "key", "cache_key", "compared"),
        },
    ),
    "gc": (
        ("gc", "--json"),
        {"runs", "blobs", "bytes", "young", "live", "deleted", "environments", "environment_bytes"},
    ),
    "mark": (("mark", "numbers/1", "--name", "one", "--json"), {"run", "tags", "pinned", "archived"}),
    "rm": (("rm", "numbers/1", "--yes", "--json"), {"removed"}),
    "export": (("export", "numbers/1", "out.run", "--json"), {"run", "file", "blobs", "bytes"}),
    "doctor": (("doctor", "--json"), {"name", "ok", "text", "advice"}),
    "place": (("place", "list", "--json"), {"name", "kind", "where", "image"}),
    "place check": (("place", "check", "local", "--json"), {"name", "ok", "text", "advice", "grant"}),
    "version": (("version", "--json"), {"headrace", "python"}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_json_has_the_documented_keys(name: str, folder: Path, call: Any) -> None:
    argv, keys = SHAPES[name]
    done = call(*argv)
    assert done.code == 0, done.err
    found = done.json
    assert set(found[0] if isinstance(found, list) else found) == keys


def test_runs_are_listed_newest_first(folder: Path, call: Any) -> None:
    assert [run["name"] for run in call("runs", "--json").json] == ["numbers/3", "numbers/2", "numbers/1"]


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (("--status", "failed"), ["numbers/2"]),
        (("--tag", "try"), ["numbers/2"]),
        (("--tag", "try=second"), []),
        (("--where", "params.n = 4"), ["numbers/3"]),
        (("--sort", "-params.n", "--where", "params.n >= 3"), ["numbers/3", "numbers/2", "numbers/1"]),
        (("--where", "params.n = 4 and state = succeeded"), ["numbers/3"]),
        (("--status", "failed,crashed"), ["numbers/2"]),
        (("--where", "state != failed", "--status", "failed"), []),
        (("--where", "params.n>=3", "--where", "state == 'succeeded'", "--limit", "1"), ["numbers/3"]),
        (("--flow", "other"), []),
    ],
)
def test_runs_can_be_filtered(argv: tuple[str, ...], names: list[str], folder: Path, call: Any) -> None:
    assert [run["name"] for run in call("runs", *argv, "--json").json] == names


def test_piped_tables_are_aligned_and_whole(folder: Path, call: Any) -> None:
    out = call("runs").out
    assert "\t" not in out and "\x1b" not in out and "…" not in out
    first, *rest = out.splitlines()
    at = first.index("STATE")
    assert {line[at - 1] for line in rest} == {" "}
    assert all(line[at] != " " for line in rest)


def test_show_begins_with_the_failing_tasks_traceback(folder: Path, call: Any) -> None:
    done = call("show", "numbers/2")
    assert done.code == 0
    assert done.out.startswith("Traceback (most recent call last):")
    assert "headrace/worker" not in done.out and "headrace/frontends" not in done.out
    assert "ValueError: cannot square 1" in done.out
    assert "headrace debug numbers/2/square/2" in done.out


def test_show_takes_the_newest_run(folder: Path, call: Any) -> None:
    assert call("show", "--json").json["run"]["name"] == "numbers/3"
    assert call("show", "numbers", "--json").json["run"]["name"] == "numbers/3"


def test_a_task_shows_where_its_data_came_from(folder: Path, call: Any) -> None:
    task = call("show", "numbers/1/load/1", "--json").json
    assert [one["text"] for one in task["inputs"]] == ["3"]
    assert [one["text"] for one in task["outputs"]] == ["[0, 1, 2]"] or task["outputs"][0]["type"] == "list"
    assert len(task["attempts"]) == 1


def test_logs_of_a_task_are_its_bytes(folder: Path, call: Any) -> None:
    assert call("logs", "numbers/1/load/1").out == "loading 3\n"
    assert "load/1 loading 3" in call("logs", "numbers/1").out
    assert call("logs", "numbers/1/load/1", "--stderr").out == ""
    line = call("logs", "numbers/1/load/1", "--json").json
    assert (line["task"], line["stream"], line["text"]) == ("numbers/1/load/1", "out", "loading 3\n")
    assert call("logs", "numbers/1", "-f").code == 0


def test_explain_tells_a_cached_task(folder: Path, call: Any) -> None:
    view = call("explain", "numbers/3/square/1", "--json").json
    assert view["verdict"] == "cached"
    assert "numbers/1/square/" in view["reason"]
    assert any(name.endswith("squares.square") for name in view["code_parts"])
    other = call("explain", "numbers/2/square/1", "--with", "numbers/1/square/1", "--json").json
    changed = [part["part"] for part in other["compared"]["parts"] if not part["same"]]
    assert changed == ["argument bad"]
    assert "numbers/2/square/2 ran" in call("explain", "numbers/2/square/2").out


def test_diff_names_what_differs(folder: Path, call: Any) -> None:
    view = call("diff", "numbers/1", "numbers/3", "--json").json
    assert [(one["name"], one["left"], one["right"]) for one in view["params"]] == [("n", "3", "4")]
    assert view["result"] == "different"
    step = next(one for one in view["steps"] if one["step"] == "square")
    assert (step["left"], step["right"], step["equal_inputs"], step["equal_outputs"]) == (3, 4, 3, 3)
    assert [one["step"] for one in view["steps"]] == ["load", "square"]
    assert [(one["name"], one["left"], one["right"]) for one in view["outputs"]] == [
        ("load/result", "[0, 1, 2]", "[0, 1, 2, 3]")
    ]
    assert "The results are the same." in call("diff", "numbers/1", "numbers/1").out


def test_get_prints_and_saves(folder: Path, call: Any) -> None:
    assert call("get", "numbers/1").out == "5\n"
    assert call("get", "numbers/1/load/1").out == "[0, 1, 2]\n"
    assert call("get", "numbers/1/load/1/result", "-o", "x.json").code == 0
    assert Path("x.json").read_text().split() == ["[", "0,", "1,", "2", "]"]
    assert call("get", "numbers/1/load/1", "-o", "x.pkl").code == 0
    assert pickle.loads(Path("x.pkl").read_bytes()) == [0, 1, 2]
    assert call("get", "numbers/1/load/1", "-o", "x.pkl").code == 2
    assert call("get", "numbers/1/load/1", "-o", "x.pkl", "--force").code == 0
    assert not list(folder.glob(".*x.pkl"))


def test_rm_asks_and_removes(folder: Path, call: Any, runner: CliRunner) -> None:
    assert call("rm", "numbers/1").code == 2
    assert call("rm", "numbers").code == 2
    assert call("rm", "numbers/1", "numbers/2", "--yes").code == 0
    assert [run["name"] for run in call("runs", "--json").json] == ["numbers/3"]


def test_gc_says_and_does(folder: Path, call: Any) -> None:
    assert call("gc", "--keep", "1", "--json").json["runs"] == ["numbers/2", "numbers/1"]
    assert call("gc", "--status", "failed", "--json").json["runs"] == ["numbers/2"]
    assert call("gc", "--without-tag", "try", "--keep", "0", "--json").json["runs"] == ["numbers/3", "numbers/1"]
    assert call("gc", "--older-than", "1h", "--json").json["runs"] == []
    assert len(call("runs", "--json").json) == 3
    assert call("gc", "--keep", "1", "--delete").code == 0
    assert [run["name"] for run in call("runs", "--json").json] == ["numbers/3"]


def test_export_and_import(folder: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("export", "numbers/3", "out.run").code == 0
    assert call("export", "numbers/3", "out.run").code == 2
    other = folder / "other"
    other.mkdir()
    (other / ".headrace").mkdir()
    monkeypatch.chdir(other)
    assert call("import", "../out.run", "--json").json["run"] == "numbers/3"
    assert call("get", "numbers/3").out == "14\n"
    assert call("import", "../out.run", "--json").json["run"] == "numbers/4"


def test_debug_without_a_terminal_says_what_it_would_do(folder: Path, call: Any) -> None:
    done = call("debug", "numbers/2/square/2")
    assert done.code == 2
    assert "squares.py" in done.out and "x, bad" in done.out
    assert "numbers/2/square/2" in call("debug", "numbers/2").out


def test_debug_takes_commands_from_a_pipe(folder: Path, call: Any) -> None:
    def piped(text: str, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "headrace", "debug", "numbers/2", *argv]
        return subprocess.run(command, input=text, cwd=folder, capture_output=True, text=True, timeout=60, check=False)

    done = piped("p x * 1000, bad\nq\n")
    assert (done.returncode, "(1000, 1)" in done.stdout) == (0, True), done.stdout + done.stderr
    assert "(41, 1)" in piped("x + 40, bad\n", "--shell").stdout
    assert piped("").returncode == 2
    told = call("debug", "numbers/2", "--json").json
    assert set(told) == {"task", "step", "entry", "inputs", "state", "error"}
    assert (told["task"], told["inputs"], told["state"]) == ("numbers/2/square/2", ["x", "bad"], "failed")


def test_debug_opens_in_the_users_own_code_and_reaches_the_rest(folder: Path) -> None:
    (folder / "parsing.py").write_text(
        "import json\nfrom headrace import flow, step\n\n@step\ndef read(text: str) -> int:\n"
        "    parts = [text]\n    return json.loads(parts[0])\n\n@flow\ndef parse() -> int:\n    return read('{')\n"
    )
    said = "p 'own', parts\nd\np 'json', s\nu\nu\nq\n"

    def headrace(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "headrace", *argv]
        return subprocess.run(command, input=said, cwd=folder, capture_output=True, text=True, timeout=60, check=False)

    assert headrace("run", "parsing.py").returncode == 1
    done = headrace("debug", "parse/1")
    assert (done.returncode, done.stderr) == (0, "")
    _, answers = done.stdout.split("pdb: p NAME")
    assert "('own', ['{'])" in answers and "('json', '{')" in answers
    assert answers.index("parsing.py(7)read") < answers.index("json/__init__.py") and "Oldest frame" in answers


#: Commands with nothing to report, and groups, whose commands have ``--json`` where they report.
SILENT = (
    "completion",
    "drive",
    "place",
    "dialect",
    "worker",
    "server",
    "login",
    "logout",
    "env",
    "image",
    "user",
    "token",
)


def test_every_command_has_help(runner: CliRunner) -> None:
    assert runner.invoke(headrace_command, ["--help"]).exit_code == 0
    for name in COMMANDS:
        done = runner.invoke(headrace_command, [name, "--help"])
        assert done.exit_code == 0, (name, done.output)
        assert "Usage:" in done.output
        if name not in SILENT:
            assert "--json" in done.output


def test_a_flows_parameters_are_its_help(folder: Path, call: Any) -> None:
    out = call("run", "squares.py", "--help").out
    assert "Square numbers." in out
    for text in ("--n", "int", "[3]", "how many.", "--word"):
        assert text in out


def test_names_are_completed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.cli.options import RunName

    def complete(text: str) -> list[str]:
        kind = RunName(parts=True)
        return [item.value for item in kind.shell_complete(None, None, text)]  # type: ignore[arg-type]

    assert complete("num") == ["numbers/3", "numbers/2", "numbers/1"]
    assert complete("numbers/2") == ["numbers/2"]
    assert complete("numbers/1/") == ["numbers/1/load", "numbers/1/square"]
    assert complete("numbers/1/load/") == ["numbers/1/load/1"]
    assert complete("x") == []


def test_flows_and_states_are_completed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def complete(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", " ".join(["headrace", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        monkeypatch.setenv("_HEADRACE_COMPLETE", "bash_complete")
        done = CliRunner().invoke(headrace_command, prog_name="headrace", complete_var="_HEADRACE_COMPLETE")
        return [line.partition(",")[2] for line in done.output.splitlines() if line]

    assert complete("runs", "--flow", "n") == ["numbers"]
    assert complete("runs", "--flow", "x") == []
    assert complete("gc", "--status", "c") == ["cancelled", "crashed"]
    monkeypatch.chdir(tmp_path)
    assert complete("gc", "--flow", "n") == []


def test_completion_scripts(runner: CliRunner) -> None:
    for shell in ("bash", "zsh", "fish"):
        done = runner.invoke(headrace_command, ["completion", shell])
        assert done.exit_code == 0
        assert "_HEADRACE_COMPLETE" in done.output


def test_help_of_import_shows_the_options_of_a_workspace(call: Any) -> None:
    shown = call("import", "--help").out
    for option in ("--json", "--project", "--home", "--database", "--artifacts", "--verbose", "metaflow"):
        assert option in shown


def test_doctor_says_which_settings_are_options(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_DURABILITY", "fsync")
    found = {one["name"]: one["text"] for one in call("doctor", "--json", "--project", "p", "--home", "h").json}
    assert found["setting project"] == "p  (option --project)"
    assert found["setting home"].endswith("/h  (option --home)")
    assert found["setting database"].endswith("/h/metadata.db  (option --home)")
    assert found["setting durability"] == "fsync  (environment: HEADRACE_DURABILITY)"
    assert found["setting max_parallel"] == "0  (default)"


def test_doctor_looks_at_stores_alone_as_a_worker_does(folder: Path, call: Any) -> None:
    found = {one["name"]: one for one in call("doctor", "--stores", "--json").json}
    assert list(found) == ["versions", "database", "artifacts writable"]
    assert "written and read back" in found["artifacts writable"]["text"]


def test_manifest_is_refused_where_it_makes_no_sense(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text('[tool.headrace.places.gpu]\nkind = "kubernetes"\nnamespace = "team"\n')
    assert "needs no manifest" in call("place", "manifest", "local").err
    assert "there is no place 'none'; there are: local, gpu" in call("place", "manifest", "none").err
    assert "say where TLS ends" in call("place", "manifest", "gpu", "--with-server").err
    assert "needs image and secret" in call("place", "manifest", "gpu", "--with-server", "--tls-secret", "t").err
    assert call("place", "manifest", "gpu").out.startswith("# What place 'gpu' needs in namespace 'team'.")
    assert call("place", "manifest", "gpu", "--helm", "chart").code == 0
    assert Path("chart/templates/rbac.yaml").exists()
    again = call("place", "manifest", "gpu", "--helm", "chart")
    assert (again.code, "it exists already" in again.err) == (2, True)


def test_a_place_without_runs_is_left_as_it_is(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("runs").code == 0
    assert call("runs", "--json").json == []
    assert call("show").code == 2
    assert call("doctor").code == 0
    assert list(tmp_path.iterdir()) == []
