"""``headrace import metaflow`` on a store that the real metaflow wrote: the Client API says the same of both."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

harness: Any = sys.modules["compat_metaflow_harness"]
HERE = Path(__file__).parent
_CONFIG = '{"alpha": "from config", "beta": 7, "word": "w", "times": 1, "deep": {"er": 1}}'
_FILES = {
    "cfg.json": _CONFIG,
    "lines.txt": "x=3 y=4\n",
    "given.txt": "one\ntwo\n",
    "latin.txt": "ünï",
    "data.json": '{"a": [1]}',
    "other.txt": "other",
}
#: What runs for the store: sequences of commands, of which two go on at a time.
_RUNS = (
    (("failing.py", "run", "--base", "20"), ("failing.py", "resume"), ("touch.py", "fixed"), ("failing.py", "resume")),
    (("linear.py", "run", "--tag", "a", "--tag", "b"), ("linear.py", "tag", "add", "--run-id", "LATEST", "later")),
    (("foreach_in_branch.py", "run"),),
    (("tries.py", "run", "--how", "die", "--fails", "1"), ("tries.py", "run", "--how", "raise", "--fails", "1")),
    (("gangs.py", "run"),),
    (("switch_kinds.py", "run", "--level", "0"),),
    (("configured.py", "run"),),
    (("environs.py", "run"),),
    (("include.py", "run"),),
    (("values.py", "run"),),
    (("merging.py", "run"),),
)
FLOWS = (
    *("Failing", "Linear", "ForeachInBranch", "Tries", "Gangs", "SwitchKinds", "Configured", "Environs", "Include"),
    *("Values", "Merging", "Killed"),
)
pytestmark = pytest.mark.timeout(600)  # the first test waits for the real metaflow


def _real(python: str, folder: Path, *command: str) -> None:
    words = [word.replace("LATEST", _latest(folder, command)) for word in command]
    subprocess.run(
        [python, *words], cwd=folder, env=harness.environment(folder, python, True), capture_output=True, check=False
    )


def _latest(folder: Path, command: tuple[str, ...]) -> str:
    path = folder / ".metaflow" / command[0].removesuffix(".py").capitalize() / "latest_run"
    return path.read_text() if path.exists() else ""


def _kill_a_run(python: str, folder: Path) -> None:
    wanted = {"/work/2": "Task finished successfully", "/work/3": "begins 1"}  # then all of both is written
    with subprocess.Popen(
        [python, "-u", "killed.py", "run"],
        cwd=folder,
        env=harness.environment(folder, python, True),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        for line in process.stdout or ():
            wanted = {task: word for task, word in wanted.items() if not (task in line and word in line)}
            if not wanted:
                break
        os.killpg(process.pid, signal.SIGKILL)
    assert not wanted


@pytest.fixture(scope="session")
def store(real_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of a dozen flows, among them runs that failed, were resumed, tagged and killed."""
    folder = tmp_path_factory.mktemp("store")
    for path in harness.FLOWS.glob("*.py"):
        shutil.copy(path, folder)
    for name, text in _FILES.items():
        (folder / name).write_text(text)

    def work(commands: tuple[tuple[str, ...], ...]) -> None:
        for command in commands:
            _real(real_python, folder, *command)

    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        killed = pool.submit(_kill_a_run, real_python, folder)
        list(pool.map(work, _RUNS))
        killed.result()
    (folder / "fixed").unlink()
    return folder


class Ours:
    """A Headrace project in ``home``, worked on from ``folder``."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.env = {**harness.environment(folder, sys.executable, False), "HEADRACE_HOME": str(home / ".headrace")}

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Python here."""
        return subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )

    def headrace(self, *words: str, code: int = 0) -> str:
        """Run a command, which ends with ``code``; what it printed, with its errors first."""
        done = self.python("-m", "headrace", *words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr + done.stdout

    def take(self, path: Path, *options: str, code: int = 0) -> Any:
        """Import; the report."""
        text = self.headrace("import", "metaflow", str(path), "--json", *options, code=code)
        return json.loads(text[text.index("{") :])

    def exact(self, *flows: str) -> Any:
        """What the Client API says."""
        done = self.python(str(HERE / "exact.py"), *flows)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def ours_at(tmp_path: Path) -> Callable[[Path], Ours]:
    """A fresh project, worked on from a folder."""
    return lambda folder: Ours(folder, tmp_path)


@pytest.fixture(scope="session")
def imported(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ours, Any]:
    """A project that the store was imported into, not to be changed, and the report."""
    ours = Ours(store, tmp_path_factory.mktemp("imported"))
    return ours, ours.take(store)


@pytest.fixture(scope="session")
def original(store: Path, real_python: str) -> Any:
    """What the real client says of the store."""
    done = subprocess.run(
        [real_python, str(HERE / "exact.py"), *FLOWS],
        cwd=store,
        env=harness.environment(store, real_python, True),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _differences(real: Any, ours: Any) -> list[str]:
    found: list[str] = []
    for flow in real:
        pair = json.loads(json.dumps([real[flow], ours[flow]]))
        if flow == "Killed":  # the real one does not know the index of a task that left no artifacts
            for side in pair:
                side[0][0]["tasks"] = sorted(side[0][0]["tasks"].keys() & {"start", "work[0]"})
        harness._differences(flow, *pair, found)
    return found


def test_the_client_says_the_same(original: Any, imported: tuple[Ours, Any]) -> None:
    ours, report = imported

    assert sorted(original) == sorted(FLOWS)
    assert len(report["new"]) == sum(len(runs) for runs, _ in original.values()) == 15
    assert (report["problems"], report["kept"], report["left_out"]) == ([], 0, 0)
    differences = _differences(original, ours.exact(*FLOWS))
    assert not differences, "\n".join(differences)


def test_commands_work_on_imported_runs(imported: tuple[Ours, Any]) -> None:
    ours, report = imported
    failed, _, good = [name for name in report["new"] if name.startswith("Failing/")]

    runs = json.loads(ours.headrace("runs", "--json", "--limit", "100"))
    assert {run["name"] for run in runs} == set(report["new"])
    states = {run["name"]: run["state"] for run in runs}
    assert (states[failed], states[good]) == ("failed", "succeeded")
    assert {state for name, state in states.items() if name.startswith("Killed/")} == {"interrupted"}
    assert "RuntimeError: not fixed" in ours.headrace("show", failed)
    assert "start runs" in ours.headrace("logs", failed)
    assert ours.headrace("get", f"{failed}/start/1/items").strip() == "[0, 1, 2]"
    assert "same inputs, other outputs" in ours.headrace("diff", good, failed)


def test_cards_come_along(imported: tuple[Ours, Any]) -> None:
    ours, _ = imported
    ask = (
        "from metaflow import Flow, namespace; from metaflow.cards import get_cards; namespace(None); "
        "tasks = Flow('Environs').latest_run['quiet']; "
        "print([one.type for task in tasks for one in get_cards(task) if '<html' in one.html])"
    )

    assert ours.python("-c", ask).stdout.strip() == "['default']"


def test_again_is_the_same_as_once(store: Path, ours_at: Callable[[Path], Ours]) -> None:
    ours = ours_at(store)

    assert [ours.take(store, "--flow", "Linear", "--dry-run")[key] for key in ("dry_run", "here")] == [True, 0]
    assert "no runs" in ours.headrace("runs").lower()
    first = ours.take(store / ".metaflow", "--flow", "Failing")
    again = ours.take(store)
    more = ours.take(store)
    assert (len(first["new"]), first["here"]) == (3, 0)
    assert (len(again["new"]), again["here"]) == (12, 3)
    assert (more["new"], more["renewed"], more["here"], more["tasks"]) == ([], [], 15, 0)


def test_a_terminal_shows_how_far_it_is(store: Path, ours_at: Callable[[Path], Ours]) -> None:
    ours = ours_at(store)
    ours_end, theirs = pty.openpty()

    command = [sys.executable, "-m", "headrace", "import", "metaflow", str(store)]
    done = subprocess.run(command, env=ours.env, stdout=subprocess.PIPE, stderr=theirs, text=True, check=False)
    os.close(theirs)
    shown = os.read(ours_end, 1 << 16).decode()

    assert done.returncode == 0
    assert "Importing" in shown
    assert "15 runs came in" in done.stdout


def test_an_imported_run_is_resumed(store: Path, ours_at: Callable[[Path], Ours], tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(store, folder)
    ours = ours_at(folder)
    report = ours.take(folder)
    failed = next(name for name in report["new"] if name.startswith("Failing/")).partition("/")[2]
    (folder / "fixed").touch()

    done = ours.python("failing.py", "resume", "--origin-run-id", failed)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Cloned from") == 3  # start, and two of three branches
    assert done.stdout.count("Task is starting") == 3
    assert "[20, 21, 22] made" in done.stdout
    assert "Failing/1 " in ours.headrace("runs", "--flow", "Failing")  # our count goes on as if nothing had come
    for flow, file, step, clones in (
        ("ForeachInBranch", "foreach_in_branch.py", "", None),
        ("Gangs", "gangs.py", "join", 3),
    ):
        run = next(name for name in report["new"] if name.startswith(f"{flow}/")).partition("/")[2]
        done = ours.python(file, "resume", *([step] if step else []), "--origin-run-id", run)
        assert done.returncode == 0, done.stderr
        assert clones is None or done.stdout.count("Cloned from") == clones
        assert bool(step) == ("Task is starting" in done.stdout), done.stdout
    assert f"/gang/2_node_1] Cloned from {run}/gang/2_node_1." in done.stdout
    task = "next(one for one in Flow('Gangs').latest_run['gang'] if one.id == '2_node_1')"
    said = ours.python("-c", f"from metaflow import Flow, namespace; namespace(None); print({task}.origin_pathspec)")
    assert said.stdout.strip() == f"Gangs/{run}/gang/2_node_1", said.stderr


_DIE = """
import os, sys
from headrace.services import run_import
left = int(sys.argv.pop(1))
commit = run_import.Adoption._commit
def dying(self, writes):
    global left
    if left == 0:
        os.kill(os.getpid(), 9)
    left -= 1
    commit(self, writes)
run_import.Adoption._commit = dying
from headrace.frontends.metaflow.store_import import runs
runs._ROWS = 20  # pieces small enough to die between them
from headrace.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_import_that_was_killed_is_completed(store: Path, original: Any, ours_at: Callable[[Path], Ours]) -> None:
    ours = ours_at(store)

    for commits in (0, 3, 17):
        done = ours.python("-c", _DIE, str(commits), "import", "metaflow", str(store))
        assert done.returncode == -9, done.stderr
    assert "crashed" in ours.headrace("runs", "--limit", "100") or "running" in ours.headrace("runs", "--limit", "100")
    report = ours.take(store)

    assert len(report["new"]) + report["here"] == 15
    assert not _differences(original, ours.exact(*FLOWS))
    assert len(json.loads(ours.headrace("runs", "--json", "--limit", "100"))) == 15


def test_a_run_that_went_on_comes_again(store: Path, ours_at: Callable[[Path], Ours], tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(store, folder)
    end = next(folder.glob(".metaflow/Linear/*/end"))
    end.rename(tmp_path / "end")
    ours = ours_at(folder)

    assert len(ours.take(folder, "--flow", "Linear")["new"]) == 1
    assert "interrupted" in ours.headrace("runs")
    assert ours.take(folder, "--flow", "Linear")["here"] == 1
    (tmp_path / "end").rename(end)
    assert len(ours.take(folder, "--flow", "Linear")["renewed"]) == 1
    assert "succeeded" in ours.headrace("runs")
    assert ours.take(folder, "--flow", "Linear")["here"] == 1


def test_what_is_damaged_is_left_out_and_named(store: Path, ours_at: Callable[[Path], Ours], tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(store, folder)
    run = next(folder.glob(".metaflow/Linear/1*/_meta/_self.json"))
    run.write_text(run.read_text()[:40])
    data = next(folder.glob(".metaflow/Values/*/middle/*/0.data.json"))
    data.write_text(data.read_text()[:100])
    objects = json.loads(next(folder.glob(".metaflow/Include/*/end/*/0.data.json")).read_text())["objects"]
    blobs = folder / ".metaflow/Include/data"
    gone, wrong = blobs / objects["got"][:2] / objects["got"], blobs / objects["name"][:2] / objects["name"]
    gone.unlink()
    ours = ours_at(tmp_path)

    report = ours.take(folder, code=1)
    assert len(report["new"]) == 14, report["problems"]
    text = "\n".join(report["problems"])
    for path in (run, data, gone):
        assert str(path) in text
    assert "got" not in ours.exact("Include")["Include"][0][0]["tasks"]["end"]["artifacts"]
    wrong.write_bytes(wrong.read_bytes()[:-3])
    other = Ours(tmp_path, tmp_path / "other")
    message = other.headrace("import", "metaflow", str(folder), "--flow", "Include", code=1)
    assert f"{wrong} is damaged" in message


class _Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_code_of_the_store_runs_only_when_it_may(store: Path, ours_at: Callable[[Path], Ours], tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(store / ".metaflow", folder / ".metaflow")
    path = next(folder.glob(".metaflow/Linear/1*/end/*/0.data.json"))
    stream = pickle.dumps(_Bomb(str(tmp_path / "exploded")), 4)
    sha = hashlib.sha1(stream, usedforsecurity=False).hexdigest()
    blob = folder / ".metaflow/Linear/data" / sha[:2] / sha
    blob.parent.mkdir(exist_ok=True)
    blob.write_bytes(stream)
    data = json.loads(path.read_text())
    data["objects"]["bomb"] = sha
    path.write_text(json.dumps(data))
    ours = ours_at(tmp_path)

    assert ours.take(folder, "--no-unpickle", "--flow", "Linear")["kept"] >= 1
    assert not (tmp_path / "exploded").exists()
    Ours(tmp_path, tmp_path / "other").take(folder, "--flow", "Linear")
    assert (tmp_path / "exploded").exists()


def test_a_class_that_is_not_here_stays_a_pickle(
    store: Path, original: Any, ours_at: Callable[[Path], Ours], tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    shutil.copytree(store / ".metaflow", folder / ".metaflow")
    ours = ours_at(tmp_path)

    report = ours.take(folder, "--flow", "Values")
    assert report["kept"] > 0 and report["problems"] == []
    away = ours.exact("Values")["Values"][0][0]["tasks"]["end"]["artifacts"]
    assert away["point"][0] == "cannot be loaded"
    shutil.copy(store / "shapes.py", tmp_path)  # the class is to be had again
    assert not _differences({"Values": original["Values"]}, ours.exact("Values"))


def test_what_is_no_store_is_refused(ours_at: Callable[[Path], Ours], tmp_path: Path) -> None:
    ours = ours_at(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty/.metaflow").mkdir(parents=True)

    assert "no such folder" in ours.headrace("import", "metaflow", "nowhere", code=2)
    assert "no Metaflow store" in ours.headrace("import", "metaflow", "folder", code=2)
    assert "PATH" in ours.headrace("import", "metaflow", code=2)
    assert "no such file" in ours.headrace("import", "nowhere", code=2)
    assert "0 runs came in" in ours.headrace("import", "metaflow", "empty")
    assert "Nix" in ours.headrace("import", "metaflow", "empty", "--flow", "Nix", code=2)
    (tmp_path / "metaflow").write_text("a file of that name is still a file")
    assert "is not a Headrace export" in ours.headrace("import", "metaflow", code=2)
