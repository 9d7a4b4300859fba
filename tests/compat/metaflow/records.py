"""What the real metaflow answered: a file of JSON lines for each flow file, in ``recorded/``.

A scenario has a line of its own, and a line for each run and each task of its answer, so that a change of one task is a
change of one line. Values that are long are kept as a digest and their beginning.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded"
#: Characters of the JSON of a value and of a list of lines that are kept whole, and of the beginning of what is not.
WHOLE, LINES, HEAD = 200, 4000, 80


def abridged(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as it is kept: with artifacts and texts that are long as digests and heads."""
    short: dict[str, Any] = _texts(answer)
    for run in short["runs"] if isinstance(short["runs"], list) else []:
        for task in run["tasks"].values():
            task["artifacts"] = {name: _brief(value) for name, value in task["artifacts"].items()}
    return short


def _texts(value: Any) -> Any:
    """A copy in which each long text is brief."""
    if isinstance(value, str):
        return _brief(value)
    if isinstance(value, list):
        lines = bool(value) and all(isinstance(one, str) for one in value)
        return _brief(value, LINES) if lines and len(json.dumps(value)) > LINES else [_texts(one) for one in value]
    if isinstance(value, dict):
        return {name: one if name == "artifacts" else _texts(one) for name, one in value.items()}
    return value


def _brief(value: Any, whole: int = WHOLE) -> Any:
    text = json.dumps(value)
    if len(text) <= whole:
        return value
    return {"sha256": hashlib.sha256(text.encode()).hexdigest()[:16], "head": text[:HEAD]}


def file_of(flow: str) -> Path:
    """Where the answers for the scenarios of a flow file are."""
    return RECORDED / f"{flow}.jsonl"


@functools.cache
def load(flow: str) -> dict[str, dict[str, Any]]:
    """The records of a flow file by scenario: version of metaflow, digest of the scenario, answer."""
    found: dict[str, dict[str, Any]] = {}
    path = file_of(flow)
    for line in path.read_text().splitlines() if path.exists() else ():
        fields = json.loads(line)
        name = fields.pop("scenario")
        if "digest" in fields:
            found[name] = {"metaflow": fields.pop("metaflow"), "digest": fields.pop("digest"), "answer": fields}
            fields.setdefault("runs", [])
        elif "task" in fields:
            task = fields.pop("task")
            found[name]["answer"]["runs"][fields.pop("run")]["tasks"][task] = fields
        else:
            del fields["run"]
            found[name]["answer"]["runs"].append({**fields, "tasks": {}})
    return found


def save(flow: str, scenario: str, record: dict[str, Any]) -> None:
    """Keep the record of one scenario, whose answer is abridged."""
    records = {**load(flow), scenario: record}
    RECORDED.mkdir(exist_ok=True)
    lines = [line for name in sorted(records) for line in _lines(name, records[name])]
    file_of(flow).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    load.cache_clear()


def _lines(scenario: str, record: dict[str, Any]) -> list[dict[str, Any]]:
    answer = record["answer"]
    runs = answer["runs"] if isinstance(answer["runs"], list) else []
    rest = {name: value for name, value in answer.items() if name != "runs" or not isinstance(value, list)}
    lines = [{"scenario": scenario, "metaflow": record["metaflow"], "digest": record["digest"], **rest}]
    for number, run in enumerate(runs):
        about = {name: value for name, value in run.items() if name != "tasks"}
        lines.append({"scenario": scenario, "run": number, **about})
        lines += [{"scenario": scenario, "run": number, "task": key, **task} for key, task in run["tasks"].items()]
    return lines
