"""What the flow function itself prints, recorded as the log of the run while it goes to the terminal as ever."""

from __future__ import annotations

import sys
import threading
from typing import Any, TextIO

from headrace.engine.crew import LOG_LIMIT
from headrace.model.records import FLOW_TASK, LogChunk
from headrace.services.session import Session
from headrace.stores.metadata.protocol import Write


class FlowOutput:
    """While entered, copies of what goes to ``sys.stdout`` and ``sys.stderr`` are written down in batches."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._parts: list[tuple[str, str]] = []
        self._kept = 0
        self._seq = 0
        self._before: tuple[TextIO, TextIO] = (sys.stdout, sys.stderr)

    def __enter__(self) -> None:
        self._before = (sys.stdout, sys.stderr)
        sys.stdout = _Tee(sys.stdout, self, "out")
        sys.stderr = _Tee(sys.stderr, self, "err")
        self._session.loop.sources.append(self.take)

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self._before

    def add(self, stream: str, text: str) -> None:
        """Keep some output for the next batch."""
        with self._lock:
            self._kept += len(text)
            if self._kept <= LOG_LIMIT:
                self._parts.append((stream, text))
            elif self._kept - len(text) <= LOG_LIMIT:
                self._parts.append((stream, f"\n[headrace: output past {LOG_LIMIT >> 20} MiB was dropped]\n"))

    def take(self, now: float) -> list[Write]:
        """The rows for what was printed since the last call: one per stretch of output to the same stream."""
        with self._lock:
            parts, self._parts = self._parts, []
        merged: list[tuple[str, list[str]]] = []
        for stream, text in parts:
            if not merged or merged[-1][0] != stream:
                merged.append((stream, []))
            merged[-1][1].append(text)
        rows: list[Write] = []
        for stream, texts in merged:
            data = "".join(texts).encode(errors="replace")
            run = self._session.run
            rows.append(
                LogChunk(
                    run_id=run.id,
                    step=FLOW_TASK.step,
                    number=FLOW_TASK.number,
                    attempt=run.session,
                    seq=self._seq,
                    stream=stream,
                    time=now,
                    data=data,
                )
            )
            self._seq += 1
        return rows


class _Tee:
    """A text stream that also tells ``FlowOutput``; everything else is the original's."""

    def __init__(self, original: TextIO, output: FlowOutput, name: str) -> None:
        self._original = original
        self._output = output
        self._name = name

    def write(self, text: str) -> int:
        count = self._original.write(text)
        self._output.add(self._name, text)
        return count

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)
