"""Steps that are command lines: inputs, outputs, exit codes, logs, what they track, and everything that goes wrong."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.interpreters import OTHER

import headrace
from headrace import Command, CommandError, File, Folder, command, flow, step
from headrace.model.states import AttemptState

if TYPE_CHECKING:
    from tests.integration.conftest import Project


def run(*commands: Any, **inputs: Any) -> Any:
    """The result of one command in a run."""

    @flow
    def only() -> Any:
        return commands[0](**inputs)

    return only()


def failure(made: Command, **inputs: Any) -> str:
    """The message with which a command fails in a run."""
    with pytest.raises(CommandError) as caught:
        run(made, **inputs)
    return str(caught.value)


# --- values in and out ------------------------------------------------------------------------------------------


def test_placeholder_is_one_argument_whatever_the_value_holds(here: Project) -> None:
    texts = ["a b", "; touch hacked", "$(touch hacked)", "'\"", "{out}", "", "ü\n"]
    shown = command(
        [sys.executable, "-c", "import json,sys; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))", "{out}", "{text}"],
        inputs={"text": str},
        outputs={"out": "json"},
    )

    @flow
    def main() -> list[Any]:
        return [one.result() for one in shown.map(texts)]

    assert main() == [[text] for text in texts]
    assert not list(here.path.rglob("hacked"))


def test_shell_script_gets_values_as_words(here: Project) -> None:
    made = command(
        shell="cat {file} > {out}; printf %s {text} >> {out}",
        inputs={"file": "text", "text": str},
        outputs={"out": "text"},
    )
    assert run(made, file="one\n", text="$(touch hacked) 'x'") == "one\n$(touch hacked) 'x'"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", 3),
        ("float", 0.1),
        ("str", "a b"),
        ("bool", True),
        ("bool", False),
        ("json", {"a": [1, None, "ü"]}),
        ("text", "first\nsecond\n"),
    ],
)
def test_value_passes_through_a_command_unchanged(here: Project, kind: str, value: Any) -> None:
    copy = "cat {one} > {out}" if kind in ("json", "text") else 'printf "%s\\n" {one} > {out}'
    assert run(command(shell=copy, inputs={"one": kind}, outputs={"out": kind}), one=value) == value


@pytest.mark.parametrize("kind", ["frame", "csv", "arrow"])
def test_table_passes_through_a_command_unchanged(here: Project, kind: str) -> None:
    import pandas as pd
    import pyarrow as pa

    frame = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, None, 2.25], "c": ["x", "ü", "a,b"]})
    found = run(command("cp {one} {out}", inputs={"one": kind}, outputs={"out": kind}), one=frame)
    if kind == "arrow":
        assert isinstance(found, pa.Table)
        found = found.to_pandas()
    pd.testing.assert_frame_equal(found, frame)


def test_files_and_folders_pass_through_a_command(here: Project) -> None:
    data = here.path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "sub" / "a.txt").write_text("one")
    made = command(
        shell="cp -r {folder} {copy}; cat {folder}/sub/a.txt {file} > {both}",
        inputs={"folder": Folder, "file": File},
        outputs={"copy": Folder, "both": File},
    )
    found = run(made, folder=data, file=data / "sub" / "a.txt")
    assert found["copy"].files() == ["sub/a.txt"]
    assert found["both"].path.read_text() == "oneone"


def test_standard_input_and_output_are_values(here: Project) -> None:
    count = command("wc -l", inputs={"rows": "csv"}, outputs={"n": int}, stdin="rows", stdout="n")
    assert run(count, rows={"a": [1, 2]}) == 3


def test_environment_variables_hold_placeholders(here: Project) -> None:
    made = command(
        ["sh", "-c", 'echo "$DEPTH $FILE" > "$OUT"'],
        inputs={"depth": int, "file": "text"},
        outputs={"out": "str"},
        env={"DEPTH": "d={depth}", "OUT": "{out}", "FILE": "{file}"},
    )
    depth, path = run(made, depth=4, file="x").split()
    assert depth == "d=4"
    assert path.endswith("file.txt")


def test_paths_of_the_working_folder_hold_inputs_and_outputs(here: Project) -> None:
    made = command(
        shell="tr a-z A-Z < data/in.txt > out/x; pwd > cwd; ls -a >&2",
        inputs={"text": "text:data/in.txt"},
        outputs={"big": "text:out/x", "cwd": "str:cwd"},
    )
    found = run(made, text="abc")
    assert found["big"] == "ABC"
    assert not Path(found["cwd"]).exists()  # it was the task's own and is gone


def test_numbers_of_numpy_are_numbers(here: Project) -> None:
    import numpy as np

    made = command(shell="echo {a} {b} > {out}", inputs={"a": int, "b": float}, outputs={"out": str})
    assert run(made, a=np.int64(3), b=np.float32(0.5)) == "3 0.5"


def test_futures_are_inputs_and_outputs_go_to_steps(here: Project) -> None:
    @step
    def numbers() -> list[int]:
        return [1, 2, 3]

    @step
    def total(one: list[int]) -> int:
        return sum(one)

    reverse = command(shell="rev < {rows} | tr '][' '[]' > {out}", inputs={"rows": "json"}, outputs={"out": "json"})

    @flow
    def main() -> int:
        return total(reverse.submit(rows=numbers.submit()))

    assert main() == 6


def test_several_outputs_are_artifacts_of_their_own(here: Project) -> None:
    made = command(shell="echo 1 > {a}; echo 2 > {b}", outputs={"a": int, "b": int}, name="two")
    assert run(made) == {"a": 1, "b": 2}
    task = headrace.runs()[0]["two"][1]
    assert (task.outputs["a"].value, task.outputs["b"].value) == (1, 2)


def test_command_without_outputs_returns_none(here: Project) -> None:
    assert run(command("true")) is None


def test_command_outside_of_a_run_runs_here(tmp_path: Path) -> None:
    made = command(shell="printf %s {text} > {out}", inputs={"text": str}, outputs={"out": File})
    found = made(text="x")
    path = found.path
    assert path.read_text() == "x"
    del found
    assert not path.exists()


# --- a step as any other ----------------------------------------------------------------------------------------

LINES = """
    from headrace import command

    fit = command("sh fit.sh {depth} {out}", inputs={"depth": "int"}, outputs={"out": "int"}, cache=True)

    @flow
    def main():
        print(fit(3))

    if __name__ == "__main__":
        main()
"""


def test_command_is_named_like_its_variable_and_brings_files_beside_it(project: Project) -> None:
    (project.path / "fit.sh").write_text('echo $(($1 * 2)) > "$2"; echo fitting')
    assert "6" in project.succeed(LINES)
    assert [task.step for task in project.tasks()] == ["fit"]
    assert project.log("fit") == b"fitting\n"


def test_files_of_a_command_belong_to_the_code_of_the_run(project: Project) -> None:
    """What is recorded can be run again without the folder that it came from."""
    script = project.path / "fit.sh"
    script.write_text('echo $(($1 * 2)) > "$2"')
    project.succeed(LINES)
    script.unlink()
    (project.path / "train.py").unlink()
    done = project.finish(project.start("-m", "headrace", "reproduce", project.last().name))
    assert done.code == 0, done.out + done.err
    assert [task.step for task in project.tasks()] == ["fit"]


def test_cache_answers_until_the_command_or_its_files_change(project: Project) -> None:
    script = project.path / "fit.sh"
    script.write_text('echo $(($1 * 2)) > "$2"')

    def attempts() -> int:
        project.succeed(LINES)
        return len(project.attempts("fit"))

    assert [attempts(), attempts()] == [1, 0]
    script.write_text('echo $(($1 * 3)) > "$2"')
    assert "9" in project.succeed(LINES)
    assert len(project.attempts("fit")) == 1
    explained = project.finish(project.start("-m", "headrace", "explain", f"{project.last().name}/fit/1"))
    assert "file fit.sh" in explained.out


def test_resume_reuses_a_command_and_runs_the_changed_one(project: Project) -> None:
    text = """
        from headrace import command
        one = command(shell="echo 1 > {out}", outputs={"out": "int"})
        two = command(shell="exit CODE; ", outputs={"out": "int"})

        @flow
        def main():
            print(one())
            two()

        if __name__ == "__main__":
            main()
    """
    project.fail(text.replace("CODE", "3"))
    project.write(text.replace("exit CODE; ", "echo 2 > {out}"))
    done = project.finish(project.start("-m", "headrace", "resume", project.last().name))
    assert done.code == 0, done.err
    assert len(project.attempts("one")) == 1
    assert [one.state for one in project.attempts("two")] == [AttemptState.FAILED, AttemptState.SUCCEEDED]


def test_metrics_parameters_tags_and_artifacts_are_read_from_the_track_file(here: Project) -> None:
    lines = [
        {"metric": "loss", "value": 0.5, "step": 1},
        {"metrics": {"loss": 0.25, "accuracy": 1}, "step": 2},
        {"param": "depth", "value": 4},
        {"params": {"seed": 1}},
        {"tag": "team", "value": "vision"},
        {"tag": "baseline"},
        {"artifact": "report", "file": "report.txt"},
        {"artifact": "rows", "file": "rows.json", "type": "json"},
    ]
    script = "echo hi > report.txt; echo '[1]' > rows.json; cat {lines} >> $HEADRACE_TRACK; printf '%s' "
    script += r'"{\"metric\": \"last\", \"value\": 1}" >> $HEADRACE_TRACK'
    made = command(shell=script, inputs={"lines": "text"}, name="tracked")
    run(made, lines="\n".join(map(json.dumps, lines)) + "\n")
    found = headrace.runs()[0]
    metrics = {name: (metric.max, metric.last) for name, metric in found.metrics.items()}
    assert metrics == {"loss": (0.5, 0.25), "accuracy": (1.0, 1.0), "last": (1.0, 1.0)}
    assert (found.params["depth"], found.params["seed"]) == (4, 1)
    assert {"team": "vision", "baseline": ""}.items() <= dict(found.tags).items()
    assert found["tracked"][1].artifacts["report"].value.path.read_text() == "hi\n"
    assert found["tracked"][1].artifacts["rows"].value == [1]


def test_wrong_lines_of_the_track_file_are_reported_and_left_out(project: Project) -> None:
    project.succeed("""
        from headrace import command
        made = command(shell="cat {lines} >> $HEADRACE_TRACK", inputs={"lines": "text"})

        @flow
        def main():
            made('{"metric": "a"\\n{"metric": "b", "value": "x"}\\n[1]\\n{"metric": "c", "value": 1}\\n')

        if __name__ == "__main__":
            main()
    """)
    log = project.log("made").decode()
    for number, what in ((1, "truncated"), (2, "is not a number"), (3, "JSON object with one of")):
        assert f"line {number} of $HEADRACE_TRACK was not logged" in log
        assert what in log


def _metrics_of(project: Project) -> list[Any]:
    """The metrics of the newest run, once there is one."""
    if not (project.home / "metadata.db").exists():
        return []
    runs = headrace.connect(home=project.home).runs()
    return list(runs[0].metrics) if runs else []


def test_metrics_are_seen_while_the_command_runs(project: Project) -> None:
    process = project.start(
        str(
            project.write("""
        from headrace import command
        line = '{"metric": "m", "value": 1}'
        made = command(shell='echo {line} >> $HEADRACE_TRACK; while [ ! -e {stop} ]; do sleep 0.05; done',
                       inputs=["line", "stop"])

        @flow
        def main():
            made(line, os.path.abspath("stop"))

        if __name__ == "__main__":
            main()
    """)
        )
    )
    project.eventually(lambda: _metrics_of(project), 20)
    (project.path / "stop").touch()
    assert project.finish(process).code == 0


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_exit_code_is_a_failure_with_its_number(here: Project) -> None:
    with pytest.raises(CommandError, match="command 'sh' ended with exit code 3") as caught:
        run(command(["sh", "-c", "exit 3"]))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("codes", "code", "attempts"),
    [({}, 7, 3), ({7: "fail"}, 7, 1), ({7: "retry"}, 7, 3), ({9: "retry"}, 7, 1), ({9: "fail"}, 7, 3)],
)
def test_exit_codes_are_mapped_to_retry_or_failure(
    here: Project, codes: dict[int, str], code: int, attempts: int
) -> None:
    made = command(["sh", "-c", f"exit {code}"], exit_codes=codes, retries=2, name="made")
    failure(made)
    assert len(here.attempts("made")) == attempts


def test_exit_code_may_mean_success(here: Project) -> None:
    grep = command(
        "grep x", inputs={"text": "text"}, outputs={"found": "text"}, stdin="text", stdout="found", exit_codes={1: "ok"}
    )
    assert run(grep, text="a\n") == ""


def test_retry_runs_in_a_new_folder(here: Project) -> None:
    mark = here.path / "mark"
    made = command(
        shell="test ! -e x; touch x; test -e {mark} || { touch {mark}; exit 5; }; echo 1 > {out}",
        inputs={"mark": str},
        outputs={"out": int},
        retries=1,
    )
    assert run(made, mark=str(mark)) == 1


@pytest.mark.parametrize(
    ("made", "inputs", "message"),
    [
        (command("no-such-program-here x"), {}, "program 'no-such-program-here' was not found in PATH"),
        (command("./missing.sh"), {}, "program './missing.sh' does not exist in the working folder"),
        (command("true", outputs=["out"]), {}, "output 'out' of command 'true' is missing"),
        (command(shell="echo 1 > other", outputs=["out"]), {}, "did not write out; its working folder holds other"),
        (command(shell="printf '{\"a\":' > {out}", outputs={"out": "json"}), {}, "it is not JSON"),
        (command(shell="echo x > {out}", outputs={"out": int}), {}, "is not one int; it begins with 'x\\n'"),
        (command(shell=": > {out}", outputs={"out": float}), {}, "is not one float; it is empty"),
        (command(shell="echo x > {out}", outputs={"out": "arrow"}), {}, "is not an Arrow IPC file"),
        (command(shell="mkdir {out}", outputs={"out": "file"}), {}, "it is not a file"),
        (command(shell="echo x > {out}", outputs={"out": "folder"}), {}, "it is not a folder"),
        (command("true", inputs={"n": int}), {"n": "x"}, "input 'n' of command 'true': it is declared as int"),
        (command("true", inputs={"n": str}), {"n": "a\0b"}, "NUL character"),
        (command("true", inputs={"n": "json"}), {"n": {"a": object}}, "has no JSON"),
        (command("true", inputs={"n": "frame"}), {"n": 3}, "declared as a table"),
        (command("echo {n}", inputs={"n": str}), {"n": "x" * 5_000_000}, "arguments are too long"),
        (command(["sh", "-c", "kill -SEGV $$"]), {}, "was ended by SIGSEGV"),
    ],
)
def test_error_says_what_is_wrong(here: Project, made: Command, inputs: dict[str, Any], message: str) -> None:
    assert message in failure(made, **inputs)


def test_file_that_is_not_executable_is_an_error_that_says_so(here: Project) -> None:
    for name, content, mode, what in (
        ("a", "echo", 0o644, "is not executable: chmod"),
        ("b", "#!/no/such/interpreter\n", 0o755, "name of an interpreter that is not there"),
        ("c", "\x7fnot a program", 0o755, "no executable format"),
    ):
        path = here.path / name
        path.write_text(content)
        path.chmod(mode)
        assert what in failure(command([str(path)]))


def test_processes_that_a_command_leaves_are_ended(project: Project) -> None:
    project.succeed("""
        from headrace import command
        made = command(shell="sleep 987 & setsid sleep 988 & (setsid sleep 989 &) ; echo 1 > {out}",
                       outputs={"out": "int"})

        @flow
        def main():
            made()
            import subprocess
            print("left:", subprocess.run(["pgrep", "-f", "sleep 98[789]"], stdout=-1).stdout)

        if __name__ == "__main__":
            main()
    """)
    log = project.log("made")
    assert b"command 'made' ended and left " in log
    assert b"sleep (process" in log
    project.assert_nothing_left()


def test_worker_of_a_command_takes_the_next_task(here: Project) -> None:
    @step
    def pid() -> int:
        return os.getpid()

    leaves = command(shell="sleep 60 & echo $PPID > {out}", outputs={"out": int})

    @flow
    def main() -> tuple[int, int, int]:
        return pid(), leaves(), pid()

    assert len(set(main())) == 1


def test_timeout_ends_the_command_and_its_processes(project: Project) -> None:
    project.fail("""
        from headrace import command
        made = command(shell="setsid sleep 986 & sleep 985", timeout=0.5)

        @flow
        def main():
            made()

        if __name__ == "__main__":
            main()
    """)
    project.assert_nothing_left()


def test_cancelled_command_has_time_to_clean_up(project: Project) -> None:
    process = project.start(
        str(
            project.write("""
        from headrace import command
        made = command(shell='trap "sleep 0.3; echo cleaned > {done}; exit 0" TERM; touch {begun}; '
                             'while :; do sleep 0.05; done', inputs=["begun", "done"])

        @flow
        def main():
            made(os.path.abspath("begun"), os.path.abspath("done"))

        if __name__ == "__main__":
            main()
    """)
        )
    )
    project.eventually((project.path / "begun").exists, 20)
    process.send_signal(signal.SIGINT)
    project.finish(process)
    assert (project.path / "done").exists()
    project.assert_nothing_left()


def test_working_folder_of_a_killed_worker_is_removed_by_the_next_command(project: Project, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    text = """
        from headrace import command
        made = command(shell="KILL", inputs={"x": "int"})

        @flow
        def main():
            made(1)

        if __name__ == "__main__":
            main()
    """
    project.fail(text.replace("KILL", "kill -9 $PPID; sleep 5"), TMPDIR=str(temporary))
    project.succeed(text.replace("KILL", "true"), TMPDIR=str(temporary))
    assert [folder for folder in temporary.rglob("*") if folder.name == ".headrace-owner"] == []


def test_error_has_the_last_words_of_the_command(here: Project) -> None:
    made = command(shell="echo first >&2; echo 'no such column: x' >&2; exit 4")
    assert "exit code 4: first | no such column: x" in failure(made)
    assert "exit code 4: no such column: y" in failure(command(shell="echo 'no such column: y' >&2; exit 4"))


def test_memory_of_a_command_counts_as_that_of_its_step(here: Project) -> None:
    hungry = command(
        [sys.executable, "-c", "import time; held = b'x' * 300_000_000; time.sleep(60)"], memory="100MiB", timeout=50
    )
    with pytest.raises(headrace.TaskOutOfMemoryError):
        run(hungry)


def test_time_and_memory_of_the_command_are_recorded(here: Project) -> None:
    run(command([sys.executable, "-c", "held = b'x' * 200_000_000; sum(range(3_000_000))"], name="made"))
    attempt = here.attempts("made")[0]
    assert attempt.cpu_seconds > 0.05
    assert attempt.peak_memory > 200_000_000


def test_two_gib_on_standard_output_cost_little_memory(project: Project) -> None:
    out = project.succeed("""
        from pathlib import Path
        from headrace import command
        loud = command("head -c 2147483648 /dev/zero")

        @flow
        def main():
            loud()
            status = Path("/proc/self/status").read_text()  # getrusage counts what the process was forked from
            print("peak MiB", int(status.partition("VmHWM:")[2].split()[0]) // 1024)

        if __name__ == "__main__":
            main()
    """)
    assert int(out.split()[-1]) < 300


@pytest.mark.skipif(not OTHER, reason="needs another Python than that of the tests")
def test_command_runs_in_a_worker_of_another_python(project: Project) -> None:
    out = project.succeed(f"""
        from headrace import Environment, command
        made = command(
            ["python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            outputs={{"out": "str"}}, stdout="out", environment=Environment(python={OTHER!r}),
        )

        @flow
        def main():
            print(made())

        if __name__ == "__main__":
            main()
    """)
    assert out.split()[-1] == OTHER
