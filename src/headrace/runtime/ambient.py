"""The one ambient context: which run the calling code belongs to, where it logs, and which secrets are its own.

It travels as Python's contexts do (``contextvars``), into coroutines and tasks of asyncio. Threads begin with an empty
context, so while a run is live, ``threading.Thread.start`` notes what the code belongs to that starts a thread, and
``ThreadPoolExecutor.submit`` what the code belongs to that hands in a call: a pool may serve several runs, and be older
than all of them. Any other thread belongs to no run unless it is given the context: ``copy_context``.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from headrace.model.errors import UsageError
from headrace.runtime.context import TrackBuffer


class Ambient:
    """A run that is live in this process, as its code sees it.

    ``calls`` takes calls of steps (``services.current.Calls``), None where a script is only tracked. ``log`` takes what
    is logged, ``secrets`` are values by name, and ``scope`` says where the run is kept.
    """

    __slots__ = ("calls", "live", "log", "name", "outer", "pid", "scope", "secrets")

    def __init__(
        self,
        name: str,
        log: TrackBuffer | None,
        *,
        calls: Any = None,
        secrets: Mapping[str, str] = MappingProxyType({}),
        scope: Any = None,
    ) -> None:
        self.name = name
        self.log = log
        self.calls = calls
        self.secrets = secrets
        self.scope = scope
        self.outer: Ambient | None = None
        self.pid = os.getpid()
        self.live = False


#: False: the code belongs to no run, whatever started its thread.
_current: ContextVar[Ambient | bool] = ContextVar("headrace_ambient", default=True)
_live: list[Ambient] = []


@contextlib.contextmanager
def entered(ambient: Ambient) -> Iterator[None]:
    """Let the calling code, and what it starts meanwhile, belong to ``ambient``."""
    ambient.outer = enclosing()
    token = _current.set(ambient)
    ambient.live = True
    _live.append(ambient)
    _follow_threads()
    try:
        yield
    finally:
        ambient.live = False
        _live.remove(ambient)
        _current.reset(token)
        _put_back()


def known() -> Ambient | None:
    """What the calling code belongs to; None: nothing, or a run that is over."""
    found = _current.get()
    if found is True and _live:
        found = vars(threading.current_thread()).get(_KEPT, True)
    return found if isinstance(found, Ambient) and found.live else None


def enclosing() -> Ambient | None:
    """What was entered around this very code; a thread that was started plainly is around nothing."""
    found = _current.get()
    return found if isinstance(found, Ambient) and found.live else None


def is_stray() -> bool:
    """Whether ``find`` may refuse the calling code, which belongs to nothing: a run is live, or was before a fork."""
    return bool(_live) or _current.get() is not True


def find(what: str, advice: str = "", *, steps: bool = False) -> Ambient | None:
    """As ``known``, for ``what`` is to become a part of the run; ``steps``: only runs that take calls of steps count.

    In a notebook or at a prompt, a thread whose starter is not known works for the only live run.

    Raises:
        UsageError: a run is live here, and the calling thread belongs to none; or the process was forked from a run.
    """
    found = known()
    if found is not None:
        return found
    forked = _current.get()
    if isinstance(forked, Ambient) and forked.pid != os.getpid():
        raise UsageError(
            f"{what} in a process that was forked from that of {forked.name}; a run is written by the process that "
            f"drives it: return the value, and do this there{advice}"
        )
    running = [one for one in _live if not steps or one.calls is not None]
    if not running:
        return None
    outer = {id(one.outer) for one in running}
    innermost = [one for one in running if id(one) not in outer]
    if len(innermost) == 1 and is_interactive() and _KEPT not in vars(threading.current_thread()):
        return innermost[0]
    names = ", ".join(one.name for one in innermost[:3]) + (", ..." if len(innermost) > 3 else "")
    raise UsageError(
        f"{what} in thread {threading.current_thread().name!r}, which belongs to no run, while {names} "
        f"{'run' if len(innermost) > 1 else 'runs'} in this process. Give the thread the context of the run's code: "
        f"`pool.submit(headrace.copy_context().run, work)`{advice}"
    )


def copy_context() -> contextvars.Context:
    """The context of the calling code, for a thread that this code does not start itself.

    ``pool.apply(headrace.copy_context().run, (work,))``: what ``work`` prints, logs and calls then belongs to the run
    of the code that made the copy. Make a copy for each call: one context cannot be entered twice at a time. Threads
    that a flow starts with ``threading``, and calls that it hands to a ``ThreadPoolExecutor``, need none.

    Returns:
        As ``contextvars.copy_context``, with the run of a thread that has none in its context.
    """
    copied = contextvars.copy_context()
    found = known()
    if found is not None:
        copied.run(_current.set, found)
    return copied


def is_interactive() -> bool:
    """Whether a person types into this process: a prompt, or a notebook."""
    import builtins

    return hasattr(sys, "ps1") or bool(sys.flags.interactive) or hasattr(builtins, "__IPYTHON__")


# --- threads ------------------------------------------------------------------------------------------------------

_KEPT = "_headrace_ambient"
_start = threading.Thread.start
_submit: Any = None


def _noting_start(self: threading.Thread) -> None:
    """Start the thread; see ``threading.Thread.start``."""
    if _live:
        setattr(self, _KEPT, known() or False)
        _follow_pools()
    _start(self)


def _carrying_submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Hand in a call; see ``concurrent.futures.ThreadPoolExecutor.submit``."""
    if not _live:
        return _submit(self, fn, *args, **kwargs)
    return _submit(self, _call_as, known() or False, fn, args, kwargs)


def _call_as(ambient: Ambient | bool, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    token = _current.set(ambient)
    try:
        return fn(*args, **kwargs)
    finally:
        _current.reset(token)


def _follow_threads() -> None:
    global _start
    if threading.Thread.start is not _noting_start:
        _start = threading.Thread.start
        threading.Thread.start = _noting_start  # type: ignore[method-assign]
    _follow_pools()


def _follow_pools() -> None:
    global _submit
    pools: Any = sys.modules.get("concurrent.futures.thread")  # not loaded: the first thread of a pool comes here again
    if pools is not None and pools.ThreadPoolExecutor.submit is not _carrying_submit:
        _submit = pools.ThreadPoolExecutor.submit
        pools.ThreadPoolExecutor.submit = _carrying_submit


def _put_back() -> None:
    """Undo it when no run is live, unless another library's replacement came later, and calls this one."""
    if _live:
        return
    if threading.Thread.start is _noting_start:
        threading.Thread.start = _start  # type: ignore[method-assign]
    pools: Any = sys.modules.get("concurrent.futures.thread")
    if pools is not None and pools.ThreadPoolExecutor.submit is _carrying_submit:
        pools.ThreadPoolExecutor.submit = _submit


def _forget() -> None:
    """In a forked child, which drives no run: the store must not be used here, and threads are the parent's."""
    for one in _live:
        one.live = False
    _live.clear()
    _put_back()


os.register_at_fork(after_in_child=_forget)
