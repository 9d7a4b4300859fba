"""The file at ``$HEADRACE_TRACK``: a command appends JSON lines, and what they say is logged as if a step had.

    {"metric": "loss", "value": 0.25, "step": 3}      {"metrics": {"loss": 0.25, "accuracy": 0.9}, "step": 3}
    {"param": "depth", "value": 4}                    {"params": {"depth": 4, "seed": 1}}
    {"tag": "baseline"}                               {"tag": "team", "value": "vision"}
    {"artifact": "report", "file": "report.html"}     {"artifact": "words", "file": "words.csv", "type": "csv"}

``step`` and ``time`` (seconds since the epoch) may be left out. A path begins in the command's working folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from headrace.model.commands import TYPES
from headrace.model.messages import Output
from headrace.model.params import to_text
from headrace.runtime.commands import values
from headrace.runtime.context import TrackBuffer

#: Bytes read at once, and bytes that one line may have.
_PIECE = 1 << 20
_LINE = 1 << 24
#: Wrong lines that are reported; others are counted.
_REPORTED = 5
_METRIC = ("metric", "metrics", "value", "step", "time")
_KNOWN = {
    "metric": _METRIC,
    "metrics": _METRIC,
    "param": ("param", "value"),
    "params": ("params",),
    "tag": ("tag", "value"),
    "artifact": ("artifact", "file", "type"),
}


class TrackFile:
    """Reads what a command has written so far. ``store`` packs a value as an artifact of that name."""

    def __init__(self, path: Path, work: Path, target: TrackBuffer, store: Callable[[str, Any], Output]) -> None:
        self._path = path
        self._work = work
        self._target = target
        self._store = store
        self._at = 0
        self._rest = b""
        self._lines = 0
        self._wrong = 0

    def read(self, *, last: bool = False) -> None:
        """Log all whole lines that came since the last call; with ``last`` also one without an end."""
        try:
            if self._path.stat().st_size == self._at and not last:
                return
            with self._path.open("rb") as file:
                file.seek(self._at)
                while piece := file.read(_PIECE):
                    self._at += len(piece)
                    self._take(piece)
        except OSError as error:  # the command has removed the file
            if last and not isinstance(error, FileNotFoundError):
                self._report(str(error))
        if last and self._rest.strip():
            self._line(self._rest)
            self._rest = b""
        if last and self._wrong > _REPORTED:
            print(f"headrace: {self._wrong} lines of $HEADRACE_TRACK were not logged", file=sys.stderr)

    def _take(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > _LINE:
            self._report(f"it is longer than {_LINE:,} bytes")
            self._rest = b""

    def _line(self, line: bytes) -> None:
        self._lines += 1
        if not line.strip():
            return
        try:
            self._log(msgspec.json.decode(line))
        except (ValueError, TypeError, OSError, msgspec.DecodeError) as error:
            self._report(str(error))

    def _report(self, what: str) -> None:
        self._wrong += 1
        if self._wrong <= _REPORTED:
            print(f"headrace: line {self._lines} of $HEADRACE_TRACK was not logged: {what}", file=sys.stderr)

    def _log(self, said: Any) -> None:
        kind = next((name for name in _KNOWN if name in said), "") if isinstance(said, dict) else ""
        if not kind:
            raise ValueError(f"a line is a JSON object with one of {', '.join(_KNOWN)}")
        unknown = [name for name in said if name not in _KNOWN[kind]]
        if unknown:
            raise ValueError(f"{kind!r} has no field {unknown[0]!r}; its fields are {', '.join(_KNOWN[kind])}")
        if kind in ("metric", "metrics"):
            self._metrics(said)
        elif kind in ("param", "params"):
            for name, value in _pairs(said, "param").items():
                self._target.param(_name(name), to_text(value))
        elif kind == "tag":
            name = _name(said["tag"])
            if "=" in name:
                raise ValueError(f"the name of a tag cannot hold '=': {name!r}; give the value beside it")
            self._target.tag(name, str(said.get("value", "")))
        else:
            self._artifact(_name(said["artifact"]), said)

    def _metrics(self, said: dict[str, Any]) -> None:
        step, time = said.get("step"), said.get("time")
        if step is not None and (type(step) is not int or not -(2**63) <= step < 2**63):
            raise ValueError(f"step is {step!r}, it must be a whole number")
        if time is not None and type(time) not in (int, float):
            raise ValueError(f"time is {time!r}, it must be seconds since the epoch")
        for name, value in _pairs(said, "metric").items():
            number = float("nan") if value is None else value  # JSON has no word for it
            if type(number) not in (int, float, bool):
                raise ValueError(f"metric {name!r}: {value!r} is not a number")
            self._target.metric(_name(name), float(number), step, None if time is None else float(time))

    def _artifact(self, name: str, said: dict[str, Any]) -> None:
        path = self._work / str(said.get("file", ""))
        kind = said.get("type", "folder" if path.is_dir() else "file")
        if kind not in TYPES:
            raise ValueError(f"artifact {name!r}: {kind!r} is not a type; types are {', '.join(TYPES)}")
        if "file" not in said or not path.exists():
            raise ValueError(f"artifact {name!r}: there is no file {said.get('file', '')!r} in the working folder")
        self._target.artifact(self._store(name, values.read(kind, path)))


def _pairs(said: dict[str, Any], kind: str) -> dict[str, Any]:
    """Names and values of a line with ``metric`` or ``metrics``, ``param`` or ``params``."""
    if kind in said:
        if "value" not in said:
            raise ValueError(f"{kind} {said[kind]!r} has no value")
        return {said[kind]: said["value"]} if isinstance(said[kind], str) else {"": None}
    pairs = said[kind + "s"]
    if not isinstance(pairs, dict):
        raise ValueError(f"{kind}s is not an object of names and values")
    return pairs


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"a name is a text, not {name!r}")
    return name
