"""Runs a scenario under the real metaflow or under Headrace, and makes what came of it comparable."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

records: Any = sys.modules["compat_metaflow_records"]
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FLOWS = HERE / "flows"
VERSION = "2.19.39"
#: Raise it when the form of the answers changes: all records are then out of date.
FORM = 1
#: ``2026-11-22 23:28:32.116 [run/step/task (pid 1)] text``
_TASK_LINE = re.compile(r"^\S+ \S+ \[\S+/(\w+)/\d+ \(pid \d+\)\] (.*)$")
_HEADLINE = re.compile(r"^    ([A-Z][^:\n]*):$", re.MULTILINE)
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (?=Step )")
_SECONDS = 1200


class Scenario(NamedTuple):
    """Some commands on a flow file of ``flows/``.

    A command is what follows ``python FLOW.py``; one that begins with ``@`` is another file and its arguments, one that
    begins with ``=`` is the same with its standard output compared as a whole; ``!`` asks for that of the flow file.
    """

    id: str
    flow: str
    commands: tuple[tuple[str, ...], ...]
    files: dict[str, str] = {}  # noqa: RUF012
    env: dict[str, str] = {}  # noqa: RUF012
    private: tuple[str, ...] = ()
    #: Parts of the answer that are not compared: the real one differs from run to run, or is wrong.
    ignore: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Names what the answer depends on."""
        texts = sorted({self.flow, *(c[0][1:-3] for c in self.commands if c and c[0][:1] in "@=")})
        sources = [source(name, self.files) for name in texts]
        facts = [FORM, sources, self.commands, self.files, self.env, self.private]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def run(id: str, flow: str, *arguments: str, **more: Any) -> Scenario:  # noqa: A002
    """A scenario of one run."""
    return Scenario(id, flow, (("run", *arguments),), **more)


def source(flow: str, files: dict[str, str]) -> str:
    """The text of a flow file: of ``flows/``, or among the files of the scenario."""
    return files.get(f"{flow}.py") or (FLOWS / f"{flow}.py").read_text()


def flow_name(scenario: Scenario) -> str:
    """The class that the flow file of a scenario defines last."""
    found: list[str] = re.findall(r"^ *class (\w+)\(", source(scenario.flow, scenario.files), re.MULTILINE)
    return found[-1]


def environment(folder: Path, python: str, real: bool) -> dict[str, str]:
    """A clean environment, without settings and stores of the user."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HEADRACE_", "METAFLOW_", "PYTHON", "COV_", "PYTEST")) and name not in ("COLUMNS",)
    }
    env = {**kept, "USERNAME": "tester", "METAFLOW_USER": "tester", "HOME": str(folder), "PYTHONHASHSEED": "0"}
    env["PATH"] = f"{Path(python).parent}{os.pathsep}{env['PATH']}"  # gangs of the real one start ``python``
    if real:
        return {**env, "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder)}
    return {**env, "PYTHONPATH": shim(), "HEADRACE_HOME": str(folder / ".headrace")}


def shim() -> str:
    """The folder that ``headrace dialect metaflow`` prints."""
    global _shim
    if not _shim:
        command = [sys.executable, "-c", "from headrace.cli.main import main; main()", "dialect", "metaflow"]
        _shim = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return _shim


_shim = ""


def execute(scenario: Scenario, python: str, folder: Path, *, real: bool) -> dict[str, Any]:
    """Run all commands of a scenario in ``folder``; what came of them, by plain JSON types."""
    folder.mkdir(parents=True)
    for path in FLOWS.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    for name, text in scenario.files.items():
        (folder / name).write_text(text)
    env = {**environment(folder, python, real), **scenario.env}
    answer: dict[str, Any] = {"codes": [], "headlines": [], "prints": [], "outputs": []}
    console = ""
    for command in scenario.commands:
        done = _call(scenario, command, python, folder, env)
        answer["codes"].append(done.returncode)
        answer["headlines"].append(_headline(done))
        answer["prints"].append(prints(done.stdout))
        answer["outputs"].append(_stable(done.stdout, folder) if command and command[0][:1] in "=!" else None)
        console += f"$ {' '.join(command)}\n{done.stdout}{done.stderr}"
    command = [python, str(HERE / "dump.py"), flow_name(scenario), *scenario.private]
    asked = process(command, folder, env)
    answer["runs"] = json.loads(asked.stdout) if asked.returncode == 0 else asked.stderr.strip().splitlines()[-1]
    wrote = written(answer["runs"])
    answer["prints"] = [[one for one in lines if one in wrote] for lines in answer["prints"]]
    answer["console"] = console + (asked.stderr if asked.returncode else "")
    return json.loads(json.dumps(answer))


def _call(scenario: Scenario, command: tuple[str, ...], python: str, folder: Path, env: dict[str, str]) -> Any:
    if command and command[0][:1] in "@=":
        words = [python, command[0][1:], *command[1:]]
    else:
        words = [python, f"{scenario.flow}.py", *(word.removeprefix("!") for word in command)]
    return process(words, folder, env)


def process(command: list[str], folder: Path, env: dict[str, str]) -> Any:
    return subprocess.run(
        command,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        stdin=subprocess.DEVNULL,
    )


def _headline(done: Any) -> str | None:
    if done.returncode == 0:
        return None
    found = _HEADLINE.search(done.stderr)
    if "Usage: " in done.stderr or (found and found[1] == "Usage error"):
        return "usage"
    return re.sub(r" on line \d+| in file \S+", "", found[1]) if found else None


def prints(stdout: str) -> list[str]:
    """What the console shows of steps. Tasks run side by side, so in no order."""
    found = [match.groups() for line in stdout.splitlines() if (match := _TASK_LINE.match(line))]
    return sorted({f"{step}: {_TIME.sub('', text).strip()}" for step, text in found if text.strip()})


def written(runs: Any) -> set[str]:
    """What the steps themselves wrote, by the logs that are kept: the console has tracebacks and messages as well."""
    found = set()
    for one in runs if isinstance(runs, list) else []:
        for key, task in one["tasks"].items():
            step = re.split(r"[\[#]", key)[0]
            for text in (task["stdout"], "\n".join(task["stderr"]), *task["earlier"]):
                found |= {f"{step}: {line.strip()}" for line in text.splitlines() if line.strip()}
    return found


def _stable(text: str, folder: Path) -> list[str]:
    return [re.sub(r"\b\d{16}\b", "RUN", line.replace(str(folder), "FOLDER")).rstrip() for line in text.splitlines()]


def _forget(answer: Any, name: str) -> None:
    if isinstance(answer, dict):
        answer.pop(name, None)
        for value in answer.values():
            _forget(value, name)
    elif isinstance(answer, list):
        for value in answer:
            _forget(value, name)


def compare(scenario: Scenario, real: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """How the answers differ, a line for each place."""
    found: list[str] = []
    real, ours = records.abridged(real), records.abridged(ours)
    for at, (code, headline) in enumerate(zip(real["codes"], real["headlines"], strict=True)):
        if code and headline is None and at < len(ours["headlines"]):  # the real one fell over; any message is better
            ours["headlines"][at] = None
    for name in scenario.ignore:
        _forget([real, ours], name)
    _differences("", real, ours, found)
    return found


def _differences(where: str, real: Any, ours: Any, found: list[str]) -> None:
    if isinstance(real, dict) and isinstance(ours, dict):
        for name in [*real, *(name for name in ours if name not in real)]:
            if name not in real:
                found.append(f"{where}.{name}: only under Headrace: {_short(ours[name])}")
            elif name not in ours:
                found.append(f"{where}.{name}: only under Metaflow: {_short(real[name])}")
            else:
                _differences(f"{where}.{name}", real[name], ours[name], found)
    elif isinstance(real, list) and isinstance(ours, list) and len(real) == len(ours):
        for number, (one, other) in enumerate(zip(real, ours, strict=True)):
            _differences(f"{where}[{number}]", one, other, found)
    elif real != ours:
        found.append(f"{where}: Metaflow {_short(real)} | Headrace {_short(ours)}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 300 else text[:300] + "..."
