"""What a script says when its flow did not end well: the user's frames, and how to go on; no frames of Headrace."""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType

from headrace._base import frames
from headrace._base.attributes import own
from headrace.model.errors import DefinitionError, HeadraceError
from headrace.model.records import RunRecord
from headrace.stores.metadata.protocol import MetadataStore


def prune(error: BaseException) -> None:
    """Take Headrace's frames out of the tracebacks of ``error`` and its causes, unless it is a defect of Headrace."""
    frames.prune(error, _is_deliberate)


def _is_deliberate(error: BaseException) -> bool:
    known = isinstance(error, (HeadraceError, KeyboardInterrupt, TimeoutError, BrokenPipeError))
    return known or own(error, "headrace_task") is not None  # a step's own exception, raised again in the flow


def advise(error: BaseException, run: RunRecord, metadata: MetadataStore) -> None:
    """Remember with ``error`` how to go on with the run that it ended, for the case that it is not caught."""
    from headrace.services.describe import failure_of

    how = f"`headrace resume {run.name}`"
    if run.failed_task:
        with contextlib.suppress(HeadraceError):  # the store is away
            failure = failure_of(metadata, run)
            how = f"`{failure.debug}`, or {how}" if failure is not None else how
    if not run.entry.startswith(":"):  # a notebook has no file to load the flow from
        with contextlib.suppress(AttributeError):  # a class with __slots__
            error.headrace_advice = f"headrace: {run.name} {run.state}; next: {how}"  # type: ignore[attr-defined]


def wrong(message: str) -> DefinitionError:
    """The error to raise for a declaration that cannot work; it comes while a file is imported, so before any flow."""
    show_well()
    return DefinitionError(message)


def show_well() -> None:
    """Let Python show an error that ends the process without Headrace's frames, unless another hook shows errors
    already."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    error.__traceback__ = trace
    prune(error)
    advice = own(error, "headrace_advice", "")
    if not (isinstance(error, KeyboardInterrupt) and advice):  # where it was stopped says nothing
        sys.__excepthook__(kind, error, error.__traceback__)
    if advice:
        print(advice, file=sys.stderr)
