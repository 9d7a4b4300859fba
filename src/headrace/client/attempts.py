"""Attempts of tasks, read back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace._base.sizes import format_duration, format_size
from headrace.client.html import html_facts, html_text
from headrace.client.logs import Printed, task_log
from headrace.client.object_loader import load
from headrace.client.source import RunReader, moment
from headrace.client.views import LogText
from headrace.model.records import AttemptRecord, TaskId
from headrace.services.pods import PodView, pod_of
from headrace.stores.codecs.exceptions import make_exception


class Attempt(Printed):
    """One try of a task, as it stood when it was asked for."""

    def __init__(self, run: RunReader, record: AttemptRecord) -> None:
        self._run = run
        self._record = record
        self.number: int = record.attempt
        self.state: str = str(record.state)
        self.host: str = record.host
        self.pid: int = record.pid
        self.cpu_seconds: float = record.cpu_seconds
        self.peak_memory: int = record.peak_memory
        #: Why it failed: ``error``, ``timeout``, ``out of memory``, ``crash``, ...; empty when it did not.
        self.failure: str = record.failure
        #: How its process ended, negative: by that signal; None when it lived on.
        self.exit_code: int | None = record.exit_code
        self.error: str = record.error
        self.traceback: LogText = LogText(record.traceback)

    @property
    def started(self) -> datetime | None:
        """When it began, in local time."""
        return moment(self._record.started)

    @property
    def finished(self) -> datetime | None:
        """When it ended, in local time; None before."""
        return moment(self._record.finished)

    @property
    def duration(self) -> float | None:
        """Seconds from its start to its end; None before."""
        record = self._record
        return None if record.finished is None else max(0.0, record.finished - record.started)

    @property
    def pod(self) -> PodView | None:
        """The pod it is or was in: its name, node and image, and what happened to it; None where it was in none."""
        return pod_of(self._run.metadata, self._record)

    @property
    def exception(self) -> BaseException | None:
        """The exception that it raised as an object; None when there was none, or it cannot be loaded here."""
        packed = self._record.exception
        if packed is None:
            return None
        try:
            return make_exception(load(packed, self._run))
        except Exception:  # its class is gone, another one now, or has ideas of its own on how it is made
            return None

    def _log(self, stream: str) -> LogText:
        record = self._record
        return task_log(self._run, TaskId(record.step, record.number), record.attempt, stream)

    def _facts(self) -> list[tuple[str, str]]:
        facts: list[tuple[str, Any]] = [
            ("state", self.state),
            ("duration", None if self.duration is None else format_duration(self.duration)),
            ("cpu", format_duration(self.cpu_seconds) if self.cpu_seconds else None),
            ("peak memory", format_size(self.peak_memory) if self.peak_memory else None),
            ("failure", self.failure),
            ("error", self.error),
        ]
        return [(label, value) for label, value in facts if value]

    @property
    def _name(self) -> str:
        return f"{self._run.name}/{TaskId(self._record.step, self._record.number)}, attempt {self.number}"

    def __repr__(self) -> str:
        return f"<{self._name}: {', '.join(value for _, value in self._facts())}>"

    def _repr_html_(self) -> str:
        return html_facts(self._name, self._facts(), html_text(self.traceback))
