"""What Python does when a process ends, done when a task ends: its threads are waited for, ``atexit`` is heeded.

Under Metaflow a task is a process. What its threads print until they end is of that task, and files that they write
are there before the next one starts.
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


def listen() -> None:
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


def wait_for_threads() -> bool:
    """Wait for threads that are no daemons; whether there were any besides the worker's own, daemons included."""
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not _is_ours(one)]
    waited = [one for one in others if not one.daemon and one is not threading.current_thread()]
    if waited:
        for tell in reversed(getattr(threading, "_threading_atexits", [])):
            tell()  # threads of a pool wait for work until they are told of the end
        for thread in waited:
            thread.join()
    return bool(others)


def say_good_bye() -> None:
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
