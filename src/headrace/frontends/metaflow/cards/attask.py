"""Cards of the task that runs in this process: ``running.task`` makes a ``CardMaker`` for steps that have ``@card``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

import msgspec

from headrace.frontends.metaflow.cards.current import CurrentCard, OneCard
from headrace.frontends.metaflow.cards.parts import LogComponent, SectionComponent
from headrace.frontends.metaflow.cards.renderer import Order, kept, render, stem_of
from headrace.frontends.metaflow.cards.types import BUILT_IN_PAGES, BlankCard, DefaultCard, find_type
from headrace.frontends.metaflow.client import runs as _parents_of_tasks  # noqa: F401 - they are found by their place
from headrace.frontends.metaflow.client.base import of_this_run
from headrace.frontends.metaflow.client.task import DataArtifact, Task
from headrace.frontends.metaflow.exceptions import MetaflowException, TimeoutException
from headrace.frontends.metaflow.names import SUCCESS, is_artifact
from headrace.model.messages import Output
from headrace.model.records import ArtifactRecord, TaskId, TaskRecord
from headrace.model.states import TaskState
from headrace.model.values import Packed, Preview
from headrace.runtime import context
from headrace.runtime.raw import RawCall

#: How long to wait for the record of the task, in seconds.
_PATIENCE = 3.0
#: In the place of what is not stored.
_NOTHING = Packed("", b"", 0)


class TaskAtHand(Task):
    """The task that runs in this process. Its artifacts are those that it will have once its result is recorded."""

    _row: TaskRecord
    _made: dict[str, ArtifactRecord]
    _inherited: dict[str, Packed]
    _values: dict[str, Any]

    @property
    def _record(self) -> TaskRecord:
        return self._row

    def _own(self) -> dict[str, ArtifactRecord]:
        return self._made

    def _table(self) -> dict[str, Packed]:
        table = self._inherited | {name: one.value for name, one in self._made.items()}
        return {name: one for name, one in table.items() if is_artifact(name)}

    def _artifact(self, name: str) -> DataArtifact:
        found = ArtifactAtHand._near(f"{self.pathspec}/{name}", self)
        found.__dict__["parent"] = self
        return found


class ArtifactAtHand(DataArtifact):
    """One of its artifacts; what is in memory is not loaded again."""

    @property
    def data(self) -> Any:
        """Its value."""
        values = self.parent._values  # type: ignore[attr-defined]
        return values[self.id] if self.id in values else super().data


class CardMaker:
    """All cards of the running attempt. ``current`` is what the step sees as ``current.card``."""

    def __init__(self, function: Any, flow: Any, call: RawCall, inherited: dict[str, Packed]) -> None:
        self._begun = time.time()
        self._flow = flow
        self._call = call
        self._inherited = inherited
        self._record: TaskRecord | None = None
        decorators = [one for one in function.decorators if one.name == "card"]
        self._cards = [
            OneCard(one.attributes, find_type(one.attributes["type"], type(flow)), _warn, self._refresh)
            for one in reversed(decorators)  # as they stand in the file, from above
        ]
        self.current = CurrentCard(self._cards, _warn)

    def finish(self, outputs: dict[str, Any]) -> None:
        """Keep the final page of every card."""
        made = [one for one in outputs.values() if isinstance(one, Output)]
        self._publish_all(made, TaskState.SUCCEEDED, caught=SUCCESS in outputs)

    def fail(self, error: BaseException) -> None:
        """Keep the pages that built-in types make of a task that failed, with what it failed with."""
        failure = SectionComponent("The task failed", contents=[LogComponent(_trace(error))])
        mine = [one for one in self._cards if one.cls in (DefaultCard, BlankCard)]
        self._publish_all([], TaskState.FAILED, first=[failure.render()], cards=mine)

    def _publish_all(
        self,
        made: list[Output],
        state: TaskState,
        *,
        caught: bool = False,
        first: list[Any] | None = None,
        cards: list[OneCard] | None = None,
    ) -> None:
        with _never_fatal():
            task = self._task(made, state, caught)
            for card in self._cards if cards is None else cards:
                with _never_fatal():
                    self._publish(card, task, "render", first or [])

    def _refresh(self, card: OneCard) -> None:
        with _never_fatal():
            self._publish(card, self._task([], TaskState.RUNNING, False), "render_runtime", [])

    def _publish(self, card: OneCard, task: Task, mode: str, first: list[Any]) -> None:
        attempt = context.current()
        if attempt is None:
            return
        options = card.attributes
        order = Order(
            type=card.type,
            flow=self._flow,
            options=options["options"],
            components=[*first, *card.rendered()],
            data=card.data(mode),
            mode=mode,
            timeout=None if options["timeout"] is None else float(options["timeout"]),
            save_errors=bool(options["save_errors"]),
        )
        page = render(order, task)
        if page is not None:
            place = (self._call.attempt - 1, self._cards.index(card))
            attempt.artifact(kept(page, stem_of(card.type, card.id, card.uuid), place, self._call.store))

    def _task(self, made: list[Output], state: TaskState, caught: bool) -> TaskAtHand:
        task: TaskAtHand = of_this_run(TaskAtHand, self._call.task)
        record = self._recorded(task)
        now = time.time()
        ended = None if state is TaskState.RUNNING else now
        task._row = msgspec.structs.replace(record, state=state, finished=ended, attempts=self._call.attempt)
        success = [Output(SUCCESS, _NOTHING, Preview(""))] if caught else []
        task._made = {one.name: one.recorded(record.run_id, record.id, now) for one in (*made, *success)}
        task._inherited = self._inherited
        task._values = {
            name: value
            for name, value in vars(self._flow).items()
            if not name.startswith("_") and not isinstance(value, (FunctionType, MethodType))
        }
        if state is not TaskState.SUCCEEDED:  # nothing is stored yet: what there is so far is in memory
            task._inherited = {**dict.fromkeys(task._values, _NOTHING), **self._inherited}
        return task

    def _recorded(self, task: Task) -> TaskRecord:
        """The record of this task. It may be on its way to the store: types of users, which may look at anything that
        hangs on it, are worth waiting for it; built-in ones do with one that says what they show.
        """
        if self._record is None:
            run = task._run
            step, number = task.path_components[2:]
            built_in = all(card.cls is None or card.type in BUILT_IN_PAGES for card in self._cards)
            until = time.monotonic() + (0 if built_in else _PATIENCE)
            found = run.metadata.task(run.id, TaskId(step, int(number)))
            while found is None and time.monotonic() < until:
                time.sleep(0.02)
                found = run.metadata.task(run.id, TaskId(step, int(number)))
            self._record = found or TaskRecord(
                run_id=run.id,
                step=step,
                number=int(number),
                key=b"",
                state=TaskState.RUNNING,
                inputs=(),
                occurrence=0,
                code=b"",
                created=self._begun,
            )
        return self._record


def _trace(error: BaseException) -> str:
    """What an exception says of itself, from the step on."""
    import traceback

    place = error.__traceback__
    while (
        place is not None and place.tb_next is not None and place.tb_frame.f_globals["__name__"].startswith("headrace.")
    ):
        place = place.tb_next
    return "".join(traceback.format_exception(type(error), error, place))


def _warn(text: str) -> None:
    print(text)


@contextlib.contextmanager
def _never_fatal() -> Iterator[None]:
    """An error in a card does not fail its task: it is told in the task's log."""
    try:
        yield
    except TimeoutException:  # the step's own time is up
        raise
    except MetaflowException as error:
        print(f"Card render failed with error: {error}")
    except (Exception, SystemExit) as error:
        print(f"Card render failed with error: {type(error).__name__}: {error}")
