"""The files of a local Metaflow store: flows, runs, tasks, attempts, logs. Nothing is unpickled here.

``.metaflow/FLOW/RUN/STEP/TASK`` holds ``N.data.json`` (the artifacts of attempt N, by SHA-1), ``N.attempt.json`` (its
start), ``N.runtime`` (how its process ended), logs, and ``_meta`` with facts, one file each, named by kind and time.
Contents of artifacts are in ``.metaflow/FLOW/data``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from headrace.frontends.metaflow.taskids import task_number
from headrace.model.errors import HeadraceError, UsageError

#: The step that holds parameters and constants; not one of the flow's.
PARAMETERS = "_parameters"
_FOLDER = ".metaflow"
_FACT = re.compile(r"^sysmeta_(.+)_(\d+)\.json$")
_LINE = re.compile(rb"^(?:\[!)?\[MFLOG\|0\|(.+?)Z\|(.+?)\|(.+?)\](.*)$", re.DOTALL)


class UnreadableError(HeadraceError):
    """A file of the store cannot be used; the message names it."""


def find_store(path: Path) -> Path:
    """The ``.metaflow`` folder at or in ``path``.

    Raises:
        UsageError: there is none.
    """
    if not path.exists():
        raise UsageError(f"no such folder: {path}")
    for candidate in (path / _FOLDER, path):
        if candidate.is_dir() and (candidate.name == _FOLDER or any(_flows(candidate))):
            return Path(os.path.abspath(candidate))  # noqa: PTH100 - without the dots, links left alone
    raise UsageError(
        f"{path} holds no Metaflow store: there is no folder {_FOLDER} in it, and it is none itself; "
        "name the folder that `python flow.py run` was called in"
    )


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are what is wanted, of very many files
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UnreadableError(f"{folder}: {error.strerror or error}") from None


def _flows(root: Path) -> Iterator[Path]:
    for name in sorted(_names(root)):
        folder = root / name
        if not name.startswith(("_", ".")) and (folder / "_meta" / "_self.json").is_file():
            yield folder


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        UnreadableError: it is not there, or no JSON.
    """
    try:
        with path.open("rb") as file:
            return json.loads(file.read())
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UnreadableError(f"{path} is damaged: it is not JSON ({error})") from None


def read_object(path: Path) -> dict[str, Any]:
    """The same for a file that holds an object."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise UnreadableError(f"{path} is damaged: it holds no JSON object")
    return found


class RunFolder:
    """A run of a flow. ``number`` is its id."""

    def __init__(self, root: Path, flow: str, number: int) -> None:
        self.root = root
        self.flow = flow
        self.number = number
        self.path = root / flow / str(number)

    @property
    def name(self) -> str:
        """``Flow/1763...``."""
        return f"{self.flow}/{self.number}"

    def facts(self) -> dict[str, Any]:
        """When it was made, by whom, and its tags; raises UnreadableError."""
        path = self.path / "_meta" / "_self.json"
        found = read_object(path)
        if not isinstance(found.get("ts_epoch"), (int, float)):
            raise UnreadableError(f"{path} is damaged: it does not say when the run began")
        return found

    def steps(self) -> list[str]:
        """The steps that have tasks; those of Metaflow itself are left out."""
        return sorted(name for name in _names(self.path) if name[0] not in "_." and (self.path / name).is_dir())

    def tasks(self, step: str) -> list[TaskFolder]:
        """The tasks of a step by number."""
        found = [TaskFolder(self, step, name) for name in _names(self.path / step) if task_number(name) is not None]
        return sorted(found, key=lambda task: task.number)

    def parameters(self) -> TaskFolder | None:
        """The task that holds parameters and constants; None when the run never came so far."""
        names = [name for name in _names(self.path / PARAMETERS) if name[0] not in "_."]
        return TaskFolder(self, PARAMETERS, names[0]) if names else None

    def count(self) -> int:
        """How many tasks it has."""
        return sum(len(self.tasks(step)) for step in self.steps())

    def last_sign(self) -> float:
        """When something was last said of a task of it, in seconds since the epoch; 0: never."""
        return max((task.last_sign for step in self.steps() for task in self.tasks(step)), default=0.0)

    def cards(self, step: str, task: str) -> list[Path]:
        """The pages of a task's cards."""
        folder = self.root / "mf.cards" / self.flow / "runs" / str(self.number) / "steps" / step / "tasks" / task
        return sorted((folder / "cards").glob("*-*.html"))


class Attempt(NamedTuple):
    """One attempt of a task: when it began and ended, and how. ``exit_code`` None: it is not known."""

    number: int
    started: float | None
    finished: float | None
    exit_code: int | None
    killed: bool


class TaskFolder:
    """A task of a run. Files are read when they are asked for."""

    def __init__(self, run: RunFolder, step: str, name: str) -> None:
        self.run = run
        self.step = step
        self.name = name
        self.number = task_number(name) or 0
        self.path = run.path / step / name
        self._facts: dict[str, list[tuple[int, str]]] | None = None

    # --- facts -------------------------------------------------------------------------------------------------

    def _all_facts(self) -> dict[str, list[tuple[int, str]]]:
        if self._facts is None:
            self._facts = {}
            for name in _names(self.path / "_meta"):
                match = _FACT.match(name)
                if match:
                    self._facts.setdefault(match[1], []).append((int(match[2]), name))
        return self._facts

    @property
    def last_sign(self) -> float:
        """When something was last said of it."""
        return max((time for facts in self._all_facts().values() for time, _ in facts), default=0) / 1000

    def fact(self, name: str) -> Any:
        """The newest value of a fact; None when it was not recorded. Raises UnreadableError."""
        known = self._all_facts().get(name)
        return read_object(self.path / "_meta" / max(known)[1]).get("value") if known else None

    def created(self) -> float:
        """When it was made; raises UnreadableError."""
        path = self.path / "_meta" / "_self.json"
        time = read_object(path).get("ts_epoch")
        if not isinstance(time, (int, float)):
            raise UnreadableError(f"{path} is damaged: it does not say when the task was made")
        return time / 1000

    def indices(self) -> tuple[int, ...] | None:
        """Its indices in the foreaches around it as it noted them when it began; None: it noted nothing."""
        text = self.fact("foreach-execution-path")
        if not isinstance(text, str):
            return None
        return tuple(int(index) for index in re.findall(r":(\d+)(?:,|$)", text))

    def current_attempt(self) -> int:
        """The number of the last attempt that began, from 0."""
        value = self.fact("attempt")
        return int(value) if isinstance(value, str) and value.isdigit() else 0

    def done_attempt(self) -> int | None:
        """The number of the last attempt that stored its artifacts."""
        value = self.fact("attempt-done")
        return int(value) if isinstance(value, str) and value.isdigit() else None

    def attempt(self, number: int) -> Attempt:
        """What is known of an attempt; raises UnreadableError."""
        begun, ended = self.path / f"{number}.attempt.json", self.path / f"{number}.runtime"
        started = read_object(begun).get("time") if begun.exists() else None
        how = read_object(ended) if ended.exists() else {}
        code = how.get("return_code")
        return Attempt(
            number,
            float(started) if isinstance(started, (int, float)) else None,
            self.stored_at(number),
            code if isinstance(code, int) else None,
            bool(how.get("killed")),
        )

    def stored_at(self, attempt: int) -> float | None:
        """When an attempt stored its artifacts; raises UnreadableError."""
        path = self.path / "_meta" / f"{attempt}_artifact__task_ok.json"
        time = read_object(path).get("ts_epoch") if path.exists() else None
        return time / 1000 if isinstance(time, (int, float)) else None

    def objects(self, attempt: int) -> dict[str, tuple[str, str, str]]:
        """Artifacts of an attempt: name -> (SHA-1, name of the type, encoding). Raises UnreadableError."""
        path = self.path / f"{attempt}.data.json"
        if not path.exists():
            return {}
        found = read_object(path)
        objects, info = found.get("objects", {}), found.get("info", {})
        try:
            return {name: (str(sha), *_described(info.get(name))) for name, sha in objects.items()}
        except AttributeError:
            raise UnreadableError(f"{path} is damaged: it lists no artifacts") from None

    # --- logs --------------------------------------------------------------------------------------------------

    def log(self, attempt: int, stream: str) -> list[tuple[float, bytes]]:
        """Lines of ``stdout`` or ``stderr`` of an attempt with their times, in order. Raises UnreadableError."""
        found: list[tuple[float, bytes]] = []
        loose: list[tuple[float, bytes]] = []
        for source in ("runtime", "task"):
            path = self.path / f"{attempt}.{source}_{stream}.log"
            try:
                with path.open("rb") as file:
                    for line in file:
                        _add_line(line, found, loose)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise UnreadableError(f"{path}: {error.strerror or error}") from None
        found.sort(key=lambda one: one[0])
        last = found[-1][0] if found else 0.0
        return found + [(last, line) for _, line in loose]


def _add_line(line: bytes, found: list[tuple[float, bytes]], loose: list[tuple[float, bytes]]) -> None:
    """A line of a log to the dated ones, or to those without a date, which come last."""
    from datetime import datetime

    text = line.rstrip(b"\n")
    match = _LINE.match(text)
    if match is not None:
        try:
            time = datetime.fromisoformat(f"{match[1].decode()}+00:00").timestamp()
        except ValueError:
            match = None
        else:
            found.append((time, match[4]))
            return
    loose.append((0.0, text))


def _described(info: Any) -> tuple[str, str]:
    """Type and encoding of an artifact, as far as they are noted."""
    known = info if isinstance(info, dict) else {}
    kind = re.sub(r"^<class '(.*)'>$", r"\1", str(known.get("type", "")))
    return kind, str(known.get("encoding", ""))


def run_folders(root: Path, flow: str | None, problems: list[str]) -> list[RunFolder]:
    """The runs of a store, oldest first; ``problems`` gets a line for each that is left out.

    Raises:
        UsageError: the store has no flow of that name.
    """
    flows = [path.name for path in _flows(root)]
    if flow is not None and flow not in flows:
        raise UsageError(f"{root} has no runs of a flow {flow!r}; it has {', '.join(flows) or 'none at all'}")
    found = []
    for name in [flow] if flow is not None else flows:
        for run in _names(root / name):
            if not (root / name / run / "_meta").is_dir() or run == "data":
                continue
            if run.isascii() and run.isdigit() and len(run) <= 18:
                found.append(RunFolder(root, name, int(run)))
            else:
                problems.append(f"{root / name / run}: left out, the id of a run is a number")
    return sorted(found, key=lambda run: (run.number, run.flow))
