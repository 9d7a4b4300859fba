"""What Python does when a process ends, done when a task ends: its threads are waited for, ``atexit`` is heeded.

It is done before the task is reported, so that what is printed until then is of that task, and files that are written
are there before the next one starts. A task that has its process ``alone`` heeds all that was asked for in it; in a
process that takes further tasks, what libraries asked for is left out, for they are to be used again.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from typing import Any

from headrace._base.usercode import is_user_module

#: What steps asked for, newest last.
_asked: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []


def begin(alone: bool) -> None:
    """Get ready for the end of the task that begins now."""
    if not alone:
        _listen()
        return
    atexit._clear()  # what was asked for in the process that this one was forked from is for that one's end
    for module, name in (("logging", "shutdown"), ("multiprocessing.util", "_exit_function")):
        if module in sys.modules:
            atexit.register(getattr(sys.modules[module], name))


def end(alone: bool) -> None:
    """End the task as its process would end."""
    _wait_for_threads()
    if alone:
        atexit._run_exitfuncs()
    else:
        _say_good_bye()


def _listen() -> None:
    """From now on, keep what user code asks to be called at the end; what libraries ask for is for the worker's end."""
    original = atexit.register
    if getattr(original, "__module__", "") == __name__:
        return

    def register(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        if is_user_module(sys._getframe(1).f_globals.get("__name__", "")):
            _asked.append((func, args, kwargs))
            return func
        return original(func, *args, **kwargs)

    atexit.register = register


def _wait_for_threads() -> None:
    """Wait for threads that are no daemons and not the worker's own."""
    ours = (threading.main_thread(), threading.current_thread())
    waited = [one for one in threading.enumerate() if not one.daemon and one not in ours and not _is_ours(one)]
    if waited:
        for tell in reversed(getattr(threading, "_threading_atexits", [])):
            tell()  # threads of a pool wait for work until they are told of the end
        for thread in waited:
            thread.join()


def _say_good_bye() -> None:
    """Call what user code asked for, the newest first; an exception ends only that one."""
    while _asked:
        func, args, kwargs = _asked.pop()
        try:
            func(*args, **kwargs)
        except BaseException:
            import traceback

            print(f"Exception ignored in atexit callback {func!r}:", file=sys.stderr)
            traceback.print_exc()


def _is_ours(thread: threading.Thread) -> bool:
    return thread.name.startswith("headrace-")
