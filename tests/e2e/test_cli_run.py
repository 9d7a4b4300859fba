"""The program in a pipe: progress lines, summaries, exit codes, JSON, signals, resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

FLOW = """
import os, sys, time
from headrace import flow, step

@step
def load(n: int) -> list[int]:
    return list(range(n))

@step
def fit(x: int, wait: float) -> int:
    time.sleep(wait)
    if x == int(os.environ.get("BAD", "-1")):
        raise ValueError(f"cannot fit {x}")
    return x

@flow
def train(n: int = 4, wait: float = 0.0, json: bool = False) -> int:
    print("the flow prints", json)
    print("and complains", file=sys.stderr)
    return sum(f.result() for f in fit.map(load(n), wait=wait))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(FLOW)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def start(folder: Path, *argv: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "headrace.cli", *argv]
    return subprocess.Popen(
        command, cwd=folder, env=environment(**env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def call(folder: Path, *argv: str, **env: str) -> tuple[int, str, str]:
    process = start(folder, *argv, **env)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_plain_lines_and_a_summary(folder: Path) -> None:
    code, out, err = call(folder, "run", "train.py", "--wait", "0.2")
    assert code == 0, err
    lines = out.splitlines()
    assert "the flow prints False" in lines
    assert any(line.startswith("fit: 4/4 done") for line in lines)
    assert any(line.startswith("train/1 succeeded after") and line.endswith("5 tasks run") for line in lines)
    assert "  result     6" in lines
    assert "headrace show train/1" in lines[-1]
    assert "\x1b" not in out and "\r" not in out
    assert err == "and complains\n"


def test_the_traceback_comes_first_and_is_the_users(folder: Path) -> None:
    code, out, _ = call(folder, "run", "train.py", BAD="2")
    assert code == 1
    ending = out[out.index("Traceback") :].splitlines()
    assert [line for line in ending if line.startswith("  File")] == [f'  File "{folder}/train.py", line 13, in fit']
    cause = next(place for place, line in enumerate(ending) if line == "train/1/fit/3 failed: ValueError: cannot fit 2")
    assert ending.index("ValueError: cannot fit 2") < cause
    assert any("headrace debug train/1/fit/3" in line for line in ending[cause:])
    assert any("headrace resume train/1" in line for line in ending[cause:])


def test_json_has_stdout_for_itself(folder: Path) -> None:
    code, out, err = call(folder, "run", "--json", "train.py")
    assert code == 0
    view = json.loads(out)
    assert set(view) == {
        *("run", "state", "duration", "executed", "reused", "failed", "cancelled", "result", "artifacts_size"),
        *("seed", "failure"),
    }
    assert (view["run"], view["state"], view["executed"], view["result"]["text"]) == ("train/1", "succeeded", 5, "6")
    assert "the flow prints" in err
    code, out, _ = call(folder, "run", "--json", "train.py", BAD="0")
    assert code == 1
    assert json.loads(out)["failure"]["error"] == "ValueError: cannot fit 0"


def test_a_parameter_called_like_our_option_is_the_flows(folder: Path) -> None:
    code, out, _ = call(folder, "run", "train.py", "--json")
    assert code == 0
    assert "the flow prints True" in out
    assert "train/1 succeeded" in out


def test_quiet(folder: Path) -> None:
    code, out, _ = call(folder, "run", "--quiet", "train.py")
    assert (code, out) == (0, "the flow prints False\n")
    code, out, err = call(folder, "run", "--quiet", "train.py", BAD="0")
    assert (code, out) == (1, "the flow prints False\n")
    assert "train/2/fit/1 failed: ValueError: cannot fit 0" in err


def test_resume_reuses_and_says_what_changed(folder: Path) -> None:
    assert call(folder, "run", "train.py", BAD="3")[0] == 1
    file = folder / "train.py"
    file.write_text(file.read_text().replace("return x\n", "return x + 0\n"))
    code, out, _ = call(folder, "resume")
    assert code == 0, out
    assert "fit: its code changed; its tasks run again" in out
    assert "4 tasks run, 1 reused" in out
    code, out, _ = call(folder, "resume", "train/1")
    assert code == 0
    assert "0 tasks run, 5 reused" in out
    code, out, _ = call(folder, "resume", "train/1", "--from", "fit")
    assert "4 tasks run, 1 reused" in out
    code, out, _ = call(folder, "resume", "train", "n=5")
    assert "2 tasks run, 4 reused" in out
    assert "  result     10" in out
    code, out, _ = call(folder, "explain", "train/1/fit/2")
    assert "train/1/fit/2" in out


def test_nothing_to_resume(folder: Path) -> None:
    assert call(folder, "run", "train.py")[0] == 0
    code, _, err = call(folder, "resume")
    assert code == 2
    assert "there is no run to go on with" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_resume_goes_on(folder: Path, number: signal.Signals) -> None:
    process = start(folder, "run", "train.py", "n=20", "wait=0.3")
    until_running(folder)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, out + err
    assert "train/1 interrupted" in out
    assert "headrace resume train/1" in out
    assert "Traceback" not in out + err
    code, out, _ = call(folder, "resume", "wait=0.0")
    assert code == 0
    assert "  result     190" in out


def test_cancel_stops_it_from_outside(folder: Path) -> None:
    process = start(folder, "run", "train.py", "n=20", "wait=5")
    until_running(folder)
    code, out, _ = call(folder, "cancel", "train/1")
    assert (code, out) == (0, "train/1 is cancelled.\n")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1, out + err
    assert "train/1 cancelled" in out


def test_a_killed_driver_is_noticed(folder: Path) -> None:
    process = start(folder, "run", "train.py", "n=20", "wait=5")
    until_running(folder)
    process.kill()
    process.communicate(timeout=20)
    view = json.loads(call(folder, "runs", "--json")[1])[0]
    assert (view["state"], view["driver"]) == ("crashed", "gone")
    assert call(folder, "doctor")[0] == 1
    assert "headrace resume train/1" in call(folder, "show")[1]
    assert call(folder, "logs", "-f", "train/1")[0] == 0
    assert call(folder, "cancel", "train/1")[1] == "train/1 is cancelled.\n"
    assert call(folder, "rm", "train/1", "--yes")[0] == 0


def test_a_running_run_is_neither_removed_nor_collected(folder: Path) -> None:
    process = start(folder, "run", "train.py", "n=2", "wait=60")
    try:
        until_running(folder)
        code, _, err = call(folder, "rm", "train/1", "--yes")
        assert code == 2
        assert "train/1 is running" in err
        assert json.loads(call(folder, "gc", "--keep", "0", "--delete", "--json")[1])["runs"] == []
        code, _, err = call(folder, "resume", "train/1")
        assert code == 2
        assert "being driven" in err
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def test_logs_follow_a_run(folder: Path) -> None:
    file = folder / "train.py"
    file.write_text(file.read_text().replace("    time.sleep(wait)\n", "    print('at', x)\n    time.sleep(wait)\n"))
    process = start(folder, "run", "train.py", "n=6", "wait=0.2", "--max-parallel", "1")
    until_running(folder)
    code, out, _ = call(folder, "logs", "-f", "train/1/fit", "--timestamps")
    process.communicate(timeout=20)
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()] == ["0", "1", "2", "3", "4", "5"]


def test_a_question_is_answered(folder: Path) -> None:
    (folder / "ask.py").write_text(
        "import headrace\nfrom headrace import flow\n\n@flow\ndef ask() -> str:\n"
        "    return str(headrace.wait_for('approval', prompt='Publish?'))\n"
    )
    process = start(folder, "run", "ask.py")
    until(lambda: "approval" in call(folder, "answer", "ask")[1])
    assert "Publish?" in call(folder, "show")[1]
    assert call(folder, "answer", "ask", "nope", "1")[0] == 2
    assert call(folder, "answer", "ask", "approval", '{"ok": true}')[:2] == (0, "ask/1 is told.\n")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "{'ok': True}" in out


def until_running(folder: Path) -> None:
    until(lambda: '"fit"' in call(folder, "show", "--json")[1])


def until(condition: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if callable(condition) and condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def test_a_reader_that_has_seen_enough_is_no_failure(folder: Path) -> None:
    assert call(folder, "run", "train.py", "n=2000")[0] == 0
    process = start(folder, "artifacts", "train/1")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.slow
def test_help_and_listings_are_quick(folder: Path) -> None:
    assert call(folder, "run", "train.py")[0] == 0
    for argv, limit in ((("--help",), 8), (("runs",), 10)):  # times the start of an interpreter, which takes 15 ms
        bare, times = [], []
        for _ in range(15):  # in turns, so that both meet the same load
            bare.append(seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)))
            times.append(seconds(lambda argv=argv: call(folder, *argv)))
        assert min(times) < limit * min(bare), (argv, times, bare)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
