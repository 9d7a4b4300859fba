"""What the program prints where it would be too much, too little, or is not read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LONG = 1_000_000
HEAD = f"""
import asyncio, sys
from headrace import flow, step
TEXT = "cannot insert " + "x" * {LONG}
"""
LONG_FLOWS = {
    "of a step": """
@step
def insert():
    raise ValueError(TEXT)
@flow
def f():
    insert()
""",
    "of many lines": """
@step
def insert():
    raise AssertionError("\\n".join(TEXT[i:i + 100] for i in range(0, len(TEXT), 100)))
@flow
def f():
    insert()
""",
    "of the flow itself": """
@flow
def f():
    raise RuntimeError(TEXT)
""",
    "of an async flow": """
@step
async def insert():
    raise KeyError(TEXT)
@flow
async def f():
    await insert()
""",
    "of sys.exit": """
@step
def insert():
    sys.exit(TEXT)
@flow
def f():
    insert()
""",
    "of a future": """
@step
def insert():
    raise OSError(5, TEXT)
@step
def use(x):
    return x
@flow
def f():
    return use(insert.submit())
""",
}


def call(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headrace", *argv]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("headrace", f"{sys.executable} -m headrace")
    script = f"{line}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize("kind", LONG_FLOWS)
def test_a_long_message_stands_in_one_place(kind: str, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(HEAD + LONG_FLOWS[kind])
    ran, shown = call(tmp_path, "run", "f.py"), call(tmp_path, "show", "f/1")
    assert ran.returncode == 1
    for printed in (ran.stdout, shown.stdout):
        assert LONG <= len(printed) < 1.3 * LONG
        [line] = [line for line in printed.splitlines() if " failed: " in line and line.startswith("f/1")]
        assert "cannot insert" in line and len(line) < 700
    listed = call(tmp_path, "show", "f/1", "--json")
    failure = json.loads(listed.stdout)["failure"]
    assert len(failure["error"]) <= 600


def test_python_prints_the_long_message_of_a_step_once(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(HEAD + LONG_FLOWS["of a step"] + "\nf()\n")
    done = subprocess.run([sys.executable, "f.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and LONG <= len(done.stderr) < 1.3 * LONG


WORK = """
from headrace import flow, step

@step
def work(fail: bool):
    if fail:
        raise ValueError("boom")
    return 1

@flow
def f(fail: bool = False, lines: int = 0):
    for _ in range(lines):
        print("a line that the flow prints")
    return work(fail)
"""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("headrace run f.py | true", 0),
        ("headrace run f.py --fail | true", 1),
        ("headrace run f.py --lines 3 | head -1", 0),
        ("headrace run f.py >&-", 0),
        ("headrace run f.py --fail >&-", 1),
        ("headrace run f.py >&- 2>&- <&-", 0),
        ("headrace run --quiet f.py >&-", 0),
        ("headrace run --json f.py >&-", 0),
        ("headrace show >&-", 0),
        ("headrace runs >&-", 0),
        ("headrace show --json | true", 0),
        ("headrace doctor >&-", 0),
        ("headrace --help >&-", 0),
    ],
)
def test_closed_output_does_not_fail_a_command(line: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(WORK)
    assert call(tmp_path, "run", "f.py").returncode == 0
    done = shell(tmp_path, line)
    assert (done.returncode, done.stderr) == (code, "")


def test_a_full_disk_is_named_once_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(WORK)
    done = shell(tmp_path, "headrace run f.py > /dev/full")
    assert done.returncode == 0
    assert done.stderr == "headrace: the output cannot be written: No space left on device\n"
    assert json.loads(call(tmp_path, "show", "--json").stdout)["run"]["state"] == "succeeded"


ALIKE = """
from headrace import flow, step

@step
def alike(i):
    raise ValueError("the same")

@step
def various(i):
    raise ValueError(f"item {i}")

@step
def rare(i):
    raise ValueError("the same" if i < 100 else "another one")

@flow
def f():
    for one in [*alike.map(range(300)), *various.map(range(100)), *rare.map(range(101))]:
        one.exception()
"""


def test_many_failures_of_a_step_are_summed_up(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(ALIKE)
    lines = call(tmp_path, "run", "f.py").stdout.splitlines()
    assert sum(line.startswith("alike/") for line in lines) == 3
    assert sum(line.startswith("various/") for line in lines) == 10
    assert "rare/101 failed: ValueError: another one" in lines  # it is not one of those that are alike
    assert "alike: more tasks failed like these; `headrace show f/1/alike` lists all" in lines
    assert any(line.startswith("alike: 0/300 done, 300 failed") for line in lines)
    listed = call(tmp_path, "show", "f/1/various").stdout
    assert listed.count("ValueError: item") == 100


def test_the_tasks_of_a_step_come_in_pages(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(ALIKE)
    call(tmp_path, "run", "f.py")
    first = call(tmp_path, "show", "f/1/alike").stdout.splitlines()
    assert len(first) == 102  # with its header
    assert first[-1] == ("... 300 tasks in all (300 failed); next page: headrace show f/1/alike --after 100")
    page = call(tmp_path, "show", "f/1/alike", "--after", "290", "--limit", "5").stdout
    assert [line.split()[0] for line in page.splitlines()[1:6]] == [f"f/1/alike/{n}" for n in range(291, 296)]
    assert len(call(tmp_path, "show", "f/1/alike", "--limit", "0").stdout.splitlines()) == 301
    assert len(json.loads(call(tmp_path, "show", "f/1/alike", "--json").stdout)) == 300
    assert call(tmp_path, "show", "f/1/alike", "--state", "succeeded").stderr == "No tasks of f/1/alike match.\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("f/1/alike", "--state", "faild"), "unknown task state 'faild'; known states: waiting"),
        (("f/1", "--after", "3"), "are for the tasks of a step: headrace show f/1/STEP"),
        (("f/1/alike/1", "--state", "failed"), "are for the tasks of a step"),
        (("f/1/none", "--after", "3"), "f/1 has no step 'none'; it has alike"),
    ],
)
def test_pages_of_what_has_none_are_refused(argv: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(ALIKE)
    call(tmp_path, "run", "f.py")
    done = call(tmp_path, "show", *argv)
    assert done.returncode == 2 and said in done.stderr


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("gc", "--older-than", "30"), "--older-than: '30' has no unit; write 30d for days or 30h for hours"),
        (("gc", "--older-than", "1.5", "--delete"), "'1.5' has no unit"),
        (("diff", "f/1/work/1", "f/1/work/2"), "diff compares runs; 'f/1/work/1' is a part of one"),
        (("diff", "f/1", "f/1/work"), "'f/1/work' is a part of one"),
        (("logs", "f/1/nope"), "f/1 has no step 'nope'; it has work"),
        (("run", "secret.py"), "missing parameter: token (Secret, as env:VARIABLE or file:PATH)"),
    ],
)
def test_mistakes_are_refused_with_what_to_do(argv: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(WORK)
    (tmp_path / "secret.py").write_text(
        "from headrace import Secret, flow\n@flow\ndef s(token: Secret):\n    return 1\n"
    )
    call(tmp_path, "run", "f.py")
    done = call(tmp_path, *argv)
    assert done.returncode == 2 and said in done.stderr
    assert call(tmp_path, "runs").stdout.count("succeeded") == 1


def test_a_script_that_calls_main_has_help(tmp_path: Path) -> None:
    text = WORK + '\nif __name__ == "__main__":\n    f.main()\n'
    (tmp_path / "f.py").write_text(text)
    done = subprocess.run([sys.executable, "f.py", "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("f\n") and "--fail / --no-fail" in done.stdout


MISTAKES = """
import asyncio, os
import headrace
from headrace import flow, step

@step
def one(x):
    return x

@step
def close():
    os.closerange(3, 200)

@step
def stop():
    breakpoint()

@step
def ask():
    return input("your name? ")

class Holder:
    @classmethod
    @step
    def of_class(cls):
        return 1

    @step
    def of_instance(self):
        return 1

def say(label, function):
    try:
        print(label, function())
    except BaseException as error:
        print(f"{label}: {type(error).__name__}: {error}")

@flow
def f():
    future = one.submit([1])
    say("index", lambda: future[0])
    say("loop", lambda: list(future))
    say("attribute", lambda: future.columns)
    say("plus", lambda: future + 1)
    say("reflected", lambda: 1 + future)
    say("less", lambda: future < 1)
    say("equal", lambda: future == [1])
    say("truth", lambda: 1 if future else 2)
    say("length", lambda: len(future))
    say("number", lambda: float(future))
    say("in", lambda: 1 in future)
    say("wait", lambda: headrace.wait([1]))
    say("wait-one", lambda: headrace.wait(future))
    say("completed", lambda: list(headrace.as_completed([None])))
    say("class", lambda: Holder.of_class())
    say("instance", lambda: Holder().of_instance())
    say("close", close)
    say("breakpoint", stop)
    say("input", ask)
    assert future in [future] and future == future and future != one.submit(2) and {future: 1}[future] == 1
    assert future is not None and future != None and not hasattr(future, "shape")

@flow
async def g():
    return (await one.submit(1))["k"]
"""


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "f.py").write_text(MISTAKES)
    done = call(folder, "run", "f.py:f")
    assert "f/1 succeeded" in done.stdout, done.stdout
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    said["async"] = call(folder, "run", "f.py:g").stdout
    return said


@pytest.mark.parametrize(
    "label", ["index", "loop", "attribute", "plus", "reflected", "less", "equal", "truth", "length", "number", "in"]
)
def test_a_future_taken_for_its_value_names_result(label: str, mistakes: dict[str, str]) -> None:
    kind = "AttributeError" if label == "attribute" else "CallError"
    assert mistakes[label].startswith(f"{kind}: ")
    assert "is not its value yet; call .result()" in mistakes[label]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("wait", "CallError: headrace.wait takes a list of futures"),
        ("wait-one", "'Future' is not a list of futures"),
        ("completed", "'NoneType' is not a future"),
        ("class", "is a class method"),
        ("instance", "is an instance method"),
        ("close", "closed files that are not its own"),
        ("breakpoint", "a step has no terminal; `headrace run --debug FILE`"),
        ("input", "EOF when reading a line: a step has no terminal; `headrace run --debug FILE`"),
    ],
)
def test_beginners_mistakes_are_named(label: str, said: str, mistakes: dict[str, str]) -> None:
    assert said in mistakes[label]


def test_the_traceback_of_an_async_flow_begins_in_the_flow(mistakes: dict[str, str]) -> None:
    assert "asyncio" not in mistakes["async"]
    assert mistakes["async"].count('  File "') == 1
