"""Runs by flow and by what is known of them: ``headrace.Flow`` and ``headrace.runs``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import msgspec

from headrace._base.sizes import format_duration
from headrace.client.default import existing_scope
from headrace.client.html import html_table, text_table
from headrace.client.runs import Run
from headrace.client.source import RunReader, moment
from headrace.client.views import missing
from headrace.model.errors import NotFoundError, UsageError
from headrace.services.marks import LISTED
from headrace.services.query import parse_query
from headrace.services.run_rows import RunRow, as_recorded, parse_states, rows_of
from headrace.stores.metadata.protocol import RunFilter
from headrace.wiring import Scope

if TYPE_CHECKING:
    import pandas as pd

_PAGE = 200
_SHOWN = 20


def runs(
    flow: str | Flow | None = None,
    *,
    tag: str | Sequence[str] = (),
    status: str | Sequence[str] = (),
    where: str = "",
    limit: int | None = None,
) -> Runs:
    """Runs that match, newest first; nothing is loaded before it is looked at.

    Args:
        flow: of this flow only.
        tag: with this tag, ``"name"`` or ``"name=value"``; of several, with all of them.
        status: in this state, such as ``"failed"`` or ``"crashed"``; of several, in one of them.
        where: comparisons joined by ``and``, ``or`` and parentheses, such as
            ``"metrics.accuracy > 0.9 and (params.depth = 4 or state in (failed, crashed))"``. Subjects are
            ``metrics.NAME`` (the last value), ``params.NAME``, ``tags.NAME``, ``state``, ``flow``, ``number``,
            ``created`` (a date) and ``duration``; operators ``= == != < <= > >=``, ``in`` and ``not in``.
        limit: no more than this many.

    Raises:
        UsageError: ``where`` or ``status`` make no sense; NotFoundError: nothing was ever run here.
    """
    return find_runs(existing_scope(), flow, tag=tag, status=status, where=where, limit=limit)


def find_runs(
    scope: Scope,
    flow: str | Flow | None,
    *,
    tag: str | Sequence[str],
    status: str | Sequence[str],
    where: str,
    limit: int | None,
) -> Runs:
    """``runs`` in ``scope``."""
    conditions = parse_query(where)
    if limit is not None and limit < 0:
        raise UsageError(f"limit is {limit}, it cannot be negative")
    states = parse_states((status,) if isinstance(status, str) else status)
    condition = RunFilter(
        project=scope.project,
        flow=str(flow) if flow is not None else None,
        tags=(tag,) if isinstance(tag, str) else tuple(tag),
        marks=LISTED,
        where=conditions,
    )
    return Runs(scope, as_recorded(scope.metadata, condition, states), limit)


class Runs:
    """Some runs, newest first, loaded as they are looked at. Slices are ``Runs`` again, ``runs[0]`` is the newest."""

    def __init__(self, source: Scope, want: RunFilter, limit: int | None) -> None:
        self._source = source
        self._want = want
        self._left = limit
        self._loaded: list[RunReader] = []
        self._complete = limit == 0

    @classmethod
    def _of(cls, source: Scope, readers: list[RunReader]) -> Runs:
        made = cls(source, RunFilter(), 0)
        made._loaded = readers
        return made

    def _load(self, count: int | None) -> list[RunReader]:
        """Load until there are ``count`` runs, or all."""
        while not self._complete and (count is None or len(self._loaded) < count):
            size = _PAGE if count is None else min(_PAGE, count - len(self._loaded))
            size = size if self._left is None else min(size, self._left)
            page = self._source.metadata.runs(msgspec.structs.replace(self._want, limit=size))
            if page:
                self._want = msgspec.structs.replace(self._want, before_id=page[-1].id)
            if self._left is not None:
                self._left -= len(page)
            self._complete = len(page) < size or self._left == 0
            self._loaded += [RunReader(self._source, record, complete=False) for record in page]
        return self._loaded

    def __len__(self) -> int:
        return len(self._load(None))

    def __bool__(self) -> bool:
        return bool(self._load(1))

    def __iter__(self) -> Iterator[Run]:
        place = 0
        while len(self._load(place + 1)) > place:
            yield Run._of(self._loaded[place])
            place += 1
            if place % _PAGE == 1:
                self._load(place + _PAGE - 1)

    @overload
    def __getitem__(self, place: int) -> Run: ...

    @overload
    def __getitem__(self, place: slice) -> Runs: ...

    def __getitem__(self, place: int | slice) -> Run | Runs:
        if isinstance(place, slice):
            parts = (place.start, place.stop)
            bounded = place.stop is not None and all(part is None or part >= 0 for part in parts)
            return Runs._of(self._source, self._load(place.stop if bounded else None)[place])
        loaded = self._load(place + 1 if place >= 0 else None)
        try:
            return Run._of(loaded[place])
        except IndexError:
            raise IndexError(f"there are only {len(loaded)} such runs") from None

    def to_pandas(self) -> pd.DataFrame:
        """One row per run, for comparing: state, times, ``params.*``, ``metrics.*`` (the last value), ``tags.*``."""
        import pandas as pd

        rows = []
        ids = [reader.id for reader in self._load(None)]
        for start in range(0, len(ids), _PAGE):
            for row in _rows(self._source, self._loaded[start : start + _PAGE], time.time()):
                known: dict[str, Any] = {
                    "run": row.name,
                    "flow": row.flow,
                    "number": row.number,
                    "state": row.state,
                    "started": row.started,
                    "duration": row.duration,
                }
                for group, values in (("params", row.params), ("metrics", row.metrics), ("tags", row.tags)):
                    known |= {f"{group}.{name}": value for name, value in values.items()}
                rows.append(known)
        columns = ["run", "flow", "number", "state", "started", "duration"]
        frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
        frame["started"] = pd.to_datetime(frame["started"].astype(float), unit="s", utc=True)
        return frame.set_index("run")

    # --- showing ----------------------------------------------------------------------------------------------

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]], str]:
        readers = self._load(_SHOWN + 1)
        rows = _rows(self._source, readers[:_SHOWN], time.time())
        metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))[:4]
        params = list(dict.fromkeys(name for row in rows for name in row.params))[:4]
        header = ("run", "state", "started", "duration", *params, *metrics)
        body = [
            (
                row.name,
                row.state,
                f"{moment(row.started or row.created):%Y-%m-%d %H:%M}",
                "" if row.duration is None else format_duration(row.duration),
                *[str(row.params.get(name, "")) for name in params],
                *[f"{row.metrics[name]:g}" if name in row.metrics else "" for name in metrics],
            )
            for row in rows
        ]
        return header, body, "... and more" if len(readers) > _SHOWN else ""

    def __repr__(self) -> str:
        header, rows, rest = self._table()
        return "\n".join(part for part in (text_table(header, rows), rest) if part) if rows else "<no runs>"

    def _repr_html_(self) -> str:
        header, rows, rest = self._table()
        return html_table("runs", header, rows, rest or f"{len(rows)} runs")


def _rows(source: Scope, readers: Sequence[RunReader], now: float) -> list[RunRow]:
    return rows_of(source.metadata, [reader.last_read for reader in readers], now)


class Flow:
    """The runs of one flow: ``Flow("train")[42]``, ``Flow("train").latest``, ``for run in Flow("train"): ...``.

    Raises:
        NotFoundError: it was never run here.
    """

    def __init__(self, name: str) -> None:
        self._open(name, existing_scope())

    @classmethod
    def _in(cls, scope: Scope, name: str) -> Flow:
        flow = cls.__new__(cls)
        flow._open(name, scope)
        return flow

    def _open(self, name: str, scope: Scope) -> None:
        self._source = scope
        self.name = name
        names = [flow for flow, _, _ in self._source.metadata.flows(self._source.project)]
        if name not in names:
            raise missing("flow", name, f"project {self._source.project!r}", names)

    @property
    def latest(self) -> Run:
        """Its newest run."""
        return Run._in(self._source, self.name)

    def runs(
        self,
        *,
        tag: str | Sequence[str] = (),
        status: str | Sequence[str] = (),
        where: str = "",
        limit: int | None = None,
    ) -> Runs:
        """Its runs that match, newest first; see ``headrace.runs``."""
        return find_runs(self._source, self.name, tag=tag, status=status, where=where, limit=limit)

    def __getitem__(self, number: int) -> Run:
        """The run of that number, negative ones counted from the newest; raises NotFoundError."""
        if number < 0:
            try:
                return self.runs(limit=-number)[-number - 1]
            except IndexError:
                raise NotFoundError(f"flow {self.name!r} has fewer than {-number} runs") from None
        return Run._in(self._source, f"{self.name}/{number}")

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs())

    def __len__(self) -> int:
        counts = {flow: count for flow, count, _ in self._source.metadata.flows(self._source.project)}
        return counts.get(self.name, 0)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<flow {self.name}: {len(self)} runs>"

    def _repr_html_(self) -> str:
        return self.runs()._repr_html_()
