"""What the flow function itself prints, recorded as the log of the run while it goes to the terminal as ever."""

from __future__ import annotations

import sys
import threading
from typing import Any, TextIO

from headrace._base.output_redaction import OutputRedactor
from headrace.model.attempts import LOG_LIMIT
from headrace.model.records import FLOW_TASK, LogChunk
from headrace.runtime.secrets import known_values
from headrace.services import current
from headrace.services.session import Session
from headrace.stores.metadata.protocol import Write


class FlowOutput:
    """While entered, copies of what the run's code writes to ``sys.stdout`` and ``sys.stderr`` are kept in batches.

    Its code is what the flow function does, in its own thread and in those it started or gave its context. What other
    threads of the process write goes to the terminal alone.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._parts: list[tuple[str, str]] = []
        self._kept = 0
        self._seq = 0
        self._redactors = {"out": OutputRedactor(), "err": OutputRedactor()}

    def __enter__(self) -> None:
        _live.append(self)
        for name in ("out", "err"):
            stream = getattr(sys, f"std{name}")
            if stream is not None and not isinstance(stream, _Tee):  # None: the process was started with it closed
                setattr(sys, f"std{name}", _Tee(stream, name))
        self._session.sources.append(self.take)

    def __exit__(self, *_: object) -> None:
        _live.remove(self)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, _Tee) and not _live:  # else the last run puts back what was there before the first
                setattr(sys, name, stream.original)

    def add(self, stream: str, text: str) -> None:
        """Keep some output for the next batch, if it is the run's."""
        if not self._is_ours():
            return
        with self._lock:
            self._kept += len(text)
            if self._kept <= LOG_LIMIT:
                self._parts.append((stream, text))
            elif self._kept - len(text) <= LOG_LIMIT:
                self._parts.append((stream, f"\n[headrace: output past {LOG_LIMIT >> 20} MiB was dropped]\n"))

    def _is_ours(self) -> bool:
        run = current.run_of_this_code()
        return run is not None and run.session is self._session

    def take(self, now: float) -> list[Write]:
        """The rows for what was printed since the last call: one per stretch of output to the same stream."""
        with self._lock:
            parts, self._parts = self._parts, []
        merged: list[tuple[str, list[str]]] = []
        for stream, text in parts:
            if not merged or merged[-1][0] != stream:
                merged.append((stream, []))
            merged[-1][1].append(text)
        last = self._session.finishing
        if last:  # what was held back, because it might have become a secret
            merged += [("out", [""]), ("err", [""])]
        values = [*self._session.secrets.values(), *known_values]
        rows: list[Write] = []
        for stream, texts in merged:
            data = self._redactors[stream].feed("".join(texts).encode(errors="replace"), values, last=last)
            if not data:
                continue
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


#: The outputs of runs that are live in this process.
_live: list[FlowOutput] = []


class _Writing(threading.local):
    """Whether this thread is in a write already: another object may have been put around one of these streams."""

    active = False


_writing = _Writing()


class _Tee:
    """A text stream that also tells the runs that are live; everything else is the original's.

    One serves all runs, so that a handler of ``logging`` that keeps the stream goes on telling the right one.
    """

    def __init__(self, original: TextIO, name: str) -> None:
        self.original = original
        self._name = name

    def write(self, text: str) -> int:
        if _writing.active:
            return self.original.write(text)
        _writing.active = True
        try:
            count = self.original.write(text)
        finally:
            _writing.active = False
        for output in tuple(_live):
            output.add(self._name, text)
        return count

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)
