"""What a script says when its flow did not end well: the user's frames, and how to go on; no frames of ours."""

from __future__ import annotations

import os
import sys
from types import TracebackType

_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep  # noqa: PTH100, PTH120


def prune(error: BaseException) -> None:
    """Take our frames out of the tracebacks of ``error`` and all that it is chained to.

    A defect of ours keeps them: an error that nobody raises on purpose, from deep inside this package.
    """
    seen: set[int] = set()
    stack: list[BaseException | None] = [error]
    while stack:
        one = stack.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        stack += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            stack += one.exceptions
        if _is_for_the_user(one):
            one.__traceback__ = _without_ours(one.__traceback__)


def say_how_to_go_on(error: BaseException) -> None:
    """One line on the run that ``error`` ended."""
    run = getattr(error, "headrace_run", None)
    if run is not None:
        how = "was stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        print(f"headrace: run {run} {how}; what finished is kept. Go on with: headrace resume {run}", file=sys.stderr)


def show_well() -> None:
    """Let Python show an error that ends the process without our frames, unless somebody else shows errors already."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    error.__traceback__ = trace
    prune(error)
    if not (isinstance(error, KeyboardInterrupt) and hasattr(error, "headrace_run")):
        sys.__excepthook__(kind, error, error.__traceback__)
    say_how_to_go_on(error)


def _is_for_the_user(error: BaseException) -> bool:
    from headrace.model.errors import HeadraceError

    if isinstance(error, (HeadraceError, KeyboardInterrupt)) or hasattr(error, "headrace_task"):
        return True
    last = None
    trace = error.__traceback__
    while trace is not None:
        last, trace = trace.tb_frame, trace.tb_next
    if last is None or not last.f_code.co_filename.startswith(_OURS):
        return True
    # Raised by us, in the words that Python itself would use: a call that does not fit, a wait that was too long.
    return isinstance(error, TimeoutError) or last.f_globals.get("__name__", "").endswith(".signature")


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    kept = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_OURS):
            kept.append(trace)
        trace = trace.tb_next
    following = None
    for one in reversed(kept):
        one.tb_next = following
        following = one
    return following
