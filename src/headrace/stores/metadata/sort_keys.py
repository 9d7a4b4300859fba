"""Where a run stands in a sorted list, found from what the store says of it."""

from __future__ import annotations

import math

from headrace.model.records import RunRecord
from headrace.stores.metadata import _rows
from headrace.stores.metadata.protocol import MetadataStore, SortKey
from headrace.stores.metadata.sorting import LONGEST_TEXT, NOTHING, NUMBER, TEXT, parse_sort


def sort_key(store: MetadataStore, run: RunRecord, sort: str) -> SortKey:
    """The key of ``run`` in a list that is sorted by ``sort``, as things stand.

    Raises:
        UsageError: lists cannot be sorted by it.
    """
    subject, _ = parse_sort(sort)
    number, text = _value(store, run, subject)
    if number is not None and not math.isnan(number):
        return SortKey(NUMBER, number, "", run.id)
    if text is not None:
        return SortKey(TEXT, 0.0, text[:LONGEST_TEXT], run.id)
    return SortKey(NOTHING, 0.0, "", run.id)


def _value(store: MetadataStore, run: RunRecord, subject: str) -> tuple[float | None, str | None]:
    group, _, name = subject.partition(".")
    if group == "metrics":
        return {one.name: one.last for one in store.metric_summaries([run.id])}.get(name), None
    if group == "tags":
        tag = {one.name: one.value for one in store.tags([run.id])}.get(name)
        return (None, None) if tag is None else (_rows.number_of(tag), tag)
    if group == "params":
        param = {one.name: one for one in store.params([run.id])}.get(name)
        if param is None:
            return None, None
        _, _, _, number, plain, _ = _rows.param_row(param)
        return number, plain
    if subject == "duration":
        return (None if run.finished is None else run.finished - run.started), None
    value = getattr(run, subject)
    return (None, str(value)) if isinstance(value, str) else (value, None)
