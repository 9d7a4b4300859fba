"""What a run says of itself, apart from its tasks: state, parameters, tags, metrics, surroundings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from headrace._base.sizes import format_duration
from headrace.client.html import html_facts, html_text
from headrace.client.logs import run_log
from headrace.client.metrics import Metrics
from headrace.client.names import check_tag
from headrace.client.source import RunReader, moment
from headrace.client.views import Inputs, LogText, Named, missing
from headrace.model.errors import UsageError
from headrace.model.params import from_text
from headrace.model.records import Request, lease_name
from headrace.model.states import RunState
from headrace.services.code.recorded_code import code_of, extract_code
from headrace.services.control import add_tag, delete_run, remove_tag, request_cancel, send_answer, wait_until_over
from headrace.services.describe import open_questions
from headrace.services.leases import driver_wait
from headrace.services.live_counts import totals_of
from headrace.services.run_rows import CRASHED, duration_of
from headrace.services.served_at import page_of, server_of
from headrace.wiring import Scope


class RunFacts:
    """The part of ``headrace.Run`` that needs no tasks."""

    _reader: RunReader

    @property
    def name(self) -> str:
        """``train/42``."""
        return self._reader.name

    @property
    def flow(self) -> str:
        """The name of its flow."""
        return self._reader.flow

    @property
    def number(self) -> int:
        """Which run of its flow it is, counted from 1."""
        return self._reader.number

    @property
    def state(self) -> str:
        """``running``, ``succeeded``, ``failed``, ``cancelled``, ``interrupted``, or ``crashed``.

        ``crashed`` is a run whose process died without a word: resume goes on with it.
        """
        return self._reader.state()

    @property
    def status(self) -> str:
        """The same as ``state``: what ``runs(status=...)`` asks for."""
        return self.state

    @property
    def waits_for(self) -> str:
        """Why its driver has not begun in a cluster, as whoever follows the run has seen; empty otherwise."""
        record = self._reader.record()
        held = self._reader.metadata.lease(lease_name(record.id)) if record.state == "running" else None
        return "" if held is None else driver_wait(held).text

    @property
    def created(self) -> datetime:
        """When its first session began, in local time."""
        found = moment(self._reader.record().created)
        assert found is not None
        return found

    @property
    def error(self) -> str:
        """The last line of what made it fail; empty when nothing did."""
        return self._reader.record().error

    @property
    def traceback(self) -> LogText:
        """The traceback of what made it fail; empty when nothing did."""
        return LogText(self._reader.record().traceback)

    @property
    def started(self) -> datetime:
        """When its last session began, in local time."""
        record = self._reader.record()
        found = moment(record.started or record.created)
        assert found is not None
        return found

    @property
    def finished(self) -> datetime | None:
        """When it ended, in local time; None before."""
        return moment(self._reader.record().finished)

    @property
    def duration(self) -> float | None:
        """Seconds that its last session took, or takes so far; None when it crashed."""
        record = self._reader.record()
        return None if self.state == CRASHED else duration_of(record, time.time())

    @property
    def inputs(self) -> Inputs:
        """The flow's parameters as objects."""
        return Inputs(self._reader, self.name, self._reader.record(complete=True).inputs)

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the flow and those logged: values where they are plain, else texts that show them."""
        return {param.name: from_text(param.text) for param in self._reader.metadata.params([self._reader.id])}

    @property
    def tags(self) -> dict[str, str]:
        """Tags by name; the value of a plain tag is empty."""
        return {tag.name: tag.value for tag in self._reader.metadata.tags([self._reader.id])}

    @property
    def metrics(self) -> Metrics:
        """Metrics by name."""
        return Metrics(self._reader)

    @property
    def steps(self) -> dict[str, dict[str, int]]:
        """How many tasks of each step are in each state, steps in the order in which they began.

        Of a live run, tasks that wait are counted too; in a crashed one, those that ran are ``lost``.
        """
        reader = self._reader
        totals = totals_of(reader.metadata, reader.record(), gone=reader.state() == CRASHED)
        return {step: one.counts for step, one in totals.items()}

    @property
    def logs(self) -> LogText:
        """What all tasks printed, the task in front of each line."""
        return run_log(self._reader)

    # --- surroundings -----------------------------------------------------------------------------------------

    @property
    def user(self) -> str:
        """Who started it."""
        return self._reader.record().user

    @property
    def host(self) -> str:
        """The machine that drives it, or drove it last."""
        return self._reader.record().host

    @property
    def git_commit(self) -> str:
        """The commit that was checked out; empty outside of a repository."""
        return self._reader.record().git_commit

    @property
    def git_diff(self) -> LogText:
        """What the files differed in from the commit; empty when they did not."""
        blob = self._reader.details().git_diff
        return LogText("" if blob is None else self._reader.bytes_of(blob).decode(errors="replace"))

    @property
    def sources(self) -> Sources:
        """The source files it used, path to text."""
        return Sources(self._reader)

    @property
    def code(self) -> Code:
        """Its code package: the files that its flow could reach, and what ``include`` named."""
        return Code(self._reader)

    @property
    def packages(self) -> dict[str, str]:
        """The packages that were installed, name to version."""
        return dict(self._reader.details().packages)

    @property
    def python(self) -> str:
        """The version of the interpreter."""
        return self._reader.details().python

    @property
    def seed(self) -> int | None:
        """What its random numbers were made of: a run with the same seed draws the same. None: of chance."""
        return self._reader.details().seed

    @property
    def reproduces(self) -> str:
        """The run, step or task that it ran again, such as ``train/42``; empty if it is a run of its own."""
        return self._reader.details().reproduces

    @property
    def command(self) -> tuple[str, ...]:
        """The command line of the process that started it."""
        return self._reader.details().argv

    # --- changing ---------------------------------------------------------------------------------------------

    @property
    def questions(self) -> dict[str, str]:
        """The questions whose answers it waits for, name to prompt; see ``headrace.wait_for``."""
        found = open_questions(self._reader.metadata, self._reader.id, time.time())
        return {question.name: question.prompt for question in found}

    @property
    def requests(self) -> list[Request]:
        """What actors changed of it, newest first: who cancelled it, answered, tagged it."""
        return self._reader.metadata.requests(self._reader.record().project, self.name)

    def answer(self, name: str, value: Any) -> None:
        """Answer the question ``name`` with ``value``, as ``headrace answer`` does; the run takes it, or its resume.

        Raises:
            NotFoundError: it does not ask that.
            UsageError: the value is not of plain data.
        """
        try:
            record, actor = self._reader.record(fresh=True), self._reader.source.actor
            send_answer(self._reader.metadata, record, name, value, actor, time.time())
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"{value!r} cannot be an answer: {error}; use numbers, texts, lists and dicts") from None

    def cancel(self, timeout: float | None = None) -> None:
        """Stop it: all its tasks are killed, then it is cancelled. Waits for that, at most ``timeout`` seconds.

        Raises:
            UsageError: it is over.
            TimeoutError: it has not ended yet; it has been told to.
        """
        record, actor = self._reader.record(fresh=True), self._reader.source.actor
        run = request_cancel(self._reader.metadata, record, actor, time.time())
        over = wait_until_over(self._reader.metadata, run, float("inf") if timeout is None else timeout)
        if over.state is RunState.RUNNING:
            raise TimeoutError(f"run {self.name} has not ended after {timeout:g} s; it has been told to")

    def add_tag(self, name: str, value: object = "") -> None:
        """Tag the run; a tag of that name gets the new value."""
        check_tag(name)
        reader = self._reader
        add_tag(reader.metadata, reader.record(), (name, str(value)), reader.source.actor, time.time())

    def remove_tag(self, name: str) -> None:
        """Take a tag off; nothing happens when it is not there."""
        reader = self._reader
        remove_tag(reader.metadata, reader.record(), name, reader.source.actor, time.time())

    def delete(self) -> None:
        """Forget the run with its tasks, logs and metrics. Its objects stay until ``headrace gc`` collects them.

        Raises:
            UsageError: it is still running.
        """
        if self._reader.state(fresh=True) == "running":
            raise UsageError(f"run {self.name} is running; stop it first with `headrace cancel {self.name}`")
        delete_run(self._reader.metadata, self._reader.record(), self._reader.source.actor, time.time())

    # --- showing ----------------------------------------------------------------------------------------------

    def _facts(self) -> list[tuple[str, str]]:
        duration = self.duration
        facts = [("state", self.state), ("started", f"{self.started:%Y-%m-%d %H:%M:%S}")]
        facts.append(("duration", "" if duration is None else format_duration(duration)))
        facts += [("error", self.error), ("failed task", self._reader.record().failed_task)]
        facts += [("params", _listed(self.params)), ("tags", _listed(self.tags))]
        facts.append(("metrics", _listed({name: f"{metric.last:g}" for name, metric in self.metrics.items()})))
        for step, counts in self.steps.items():
            facts.append((f"step {step}", ", ".join(f"{count} {state}" for state, count in counts.items())))
        return [(label, value) for label, value in facts if value]

    def __repr__(self) -> str:
        lines = [f"  {label}: {value}" for label, value in self._facts()[1:]]
        return "\n".join([f"<run {self.name}: {self.state}>", *lines])

    def _repr_html_(self) -> str:
        page = page_at(self._reader.source, self.name)
        return html_facts(f"run {self.name}", self._facts(), html_text(self.traceback), page)


def page_at(scope: Scope, name: str) -> str:
    """Where a server shows a run or task of ``scope``; empty where none is known."""
    server = server_of(scope.settings.home, scope.settings.server)
    return page_of(server, scope.project, name) if server else ""


def _listed(values: Mapping[str, Any]) -> str:
    pairs = [f"{name}={value}" if value != "" else name for name, value in values.items()]
    return ", ".join(pairs[:12]) + (f", ... ({len(pairs)})" if len(pairs) > 12 else "")


class Sources(Mapping[str, str]):
    """The source files of a run by path below its root; each is read when it is asked for."""

    def __init__(self, run: RunReader) -> None:
        self._run = run

    def __getitem__(self, path: str) -> str:
        sources = self._run.sources()
        blob = sources.get(path)
        if blob is None:
            raise missing("source file", path, self._run.name, list(sources))
        return self._run.bytes_of(blob).decode(errors="replace")

    def __iter__(self) -> Iterator[str]:
        return iter(self._run.sources())

    def __len__(self) -> int:
        return len(self._run.sources())

    def __repr__(self) -> str:
        return repr(Named("source file", self._run.name, self._run.sources(), lambda blob: f"{blob.size} bytes"))

    def _repr_html_(self) -> str:
        sources = self._run.sources()
        return Named("source file", self._run.name, sources, lambda blob: f"{blob.size} bytes")._repr_html_()


class Code(Mapping[str, bytes]):
    """The files of a run's code package by path, each read when it is asked for. Empty for a run that kept none."""

    def __init__(self, run: RunReader) -> None:
        self._run = run

    @property
    def digest(self) -> str:
        """The BLAKE3 of the package in hexadecimal: equal for equal code. Empty where a run has none."""
        code = self._run.details().code
        return code.package.hex if code is not None else ""

    @property
    def entry(self) -> str:
        """Where the flow is: ``train.py:train``."""
        code = self._run.details().code
        return code.entry if code is not None else ""

    def extract(self, folder: str | os.PathLike[str]) -> None:
        """Write all files to ``folder``, which is made.

        Raises:
            UsageError: it has something in it, or cannot be written.
            BlobError: a file's content is gone or damaged.
        """
        extract_code(code_of(self._run.record(complete=True), self._run.artifacts), self._run.artifacts, Path(folder))

    def __getitem__(self, path: str) -> bytes:
        files = self._run.sources()
        blob = files.get(path)
        if blob is None:
            raise missing("file of the code", path, self._run.name, list(files))
        return self._run.bytes_of(blob)

    def __iter__(self) -> Iterator[str]:
        return iter(self._run.sources())

    def __len__(self) -> int:
        return len(self._run.sources())

    def __repr__(self) -> str:
        return repr(Named("file of the code", self._run.name, self._run.sources(), lambda blob: f"{blob.size} bytes"))
