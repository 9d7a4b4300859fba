"""Where a value was made and where it went, in any run: values are named by the digest of their content."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.model.records import FLOW_TASK, UNLISTED, Input, RunRecord, TaskId, TaskRecord
from headrace.services.names import task_name
from headrace.stores.metadata.protocol import MetadataStore

_PAGE = 1_000


class ValueUse(msgspec.Struct, frozen=True, kw_only=True):
    """A place where a value is.

    ``role``: ``made`` (an output of ``task``), ``reused`` (an output that ``task`` took from ``origin``), ``result`` or
    ``logged`` (of the flow itself), ``argument`` (of ``task``, from the output ``origin`` where it is one) or ``flow
    argument``. ``name`` is that of the artifact or argument. Of a use by the flow itself ``task`` is empty.
    """

    run: str
    task: str
    name: str
    role: str
    origin: str


def uses_in(metadata: MetadataStore, run: RunRecord, digest: bytes) -> Iterator[ValueUse]:
    """Where the value of ``digest`` is in ``run``; its tasks and artifacts are looked through."""
    whole = metadata.run_by_id(run.id)
    for one in () if whole is None else whole.inputs:
        if digest in _digests(one):
            yield ValueUse(run=run.name, task="", name=one.name, role="flow argument", origin="")
    yield from _arguments(metadata, run, digest)
    yield from _outputs(metadata, run, digest)


def _arguments(metadata: MetadataStore, run: RunRecord, digest: bytes) -> Iterator[ValueUse]:
    for step in dict.fromkeys(one.step for one in metadata.step_counts(run.id)):
        after = 0
        while page := metadata.tasks(run.id, step, after=after, limit=_PAGE):
            for task in page:
                yield from _of_task(run, task, digest)
            after = page[-1].number


def _of_task(run: RunRecord, task: TaskRecord, digest: bytes) -> Iterator[ValueUse]:
    found = [one for one in task.inputs if digest in _digests(one)]
    for one in found:
        sources = [source for source in one.sources if source.digest == digest]
        origin = ""
        if sources:
            origin = f"{task_name(run, TaskId(sources[0].step, sources[0].number))}/{sources[0].output}"
        yield ValueUse(run=run.name, task=task_name(run, task.id), name=one.name, role="argument", origin=origin)


def _outputs(metadata: MetadataStore, run: RunRecord, digest: bytes) -> Iterator[ValueUse]:
    after = None
    while page := metadata.artifacts(run.id, after=after, limit=_PAGE):
        for one in page:
            if one.value.digest != digest or one.kind in UNLISTED:
                continue
            if (one.step, one.number) == FLOW_TASK:
                role = "result" if one.kind == "output" else "logged"
                yield ValueUse(run=run.name, task="", name=one.name, role=role, origin="")
                continue
            task = metadata.task(run.id, TaskId(one.step, one.number))
            origin = "" if task is None else task.reused_from
            role = "reused" if origin else "made" if one.kind == "output" else "logged"
            name = task_name(run, TaskId(one.step, one.number))
            yield ValueUse(run=run.name, task=name, name=one.name, role=role, origin=origin)
        if len(page) < _PAGE:
            return
        after = (page[-1].step, page[-1].number, page[-1].name)


def _digests(one: Input) -> set[bytes]:
    """Of the value, and of the outputs that it is made of."""
    return {one.value.digest, *(source.digest for source in one.sources)}
