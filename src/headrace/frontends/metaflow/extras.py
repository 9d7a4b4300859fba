"""Helpers that flows import: parallel maps, names of events, a timer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class MulticoreException(Exception):
    """A process of a parallel map failed."""


def parallel_map(
    func: Callable[[Any], Any],
    iterator: Iterable[Any],
    max_parallel: int | None = None,
    dir: str | None = None,  # noqa: A002
) -> list[Any]:
    """``func`` of each item, in forked processes; results in order."""
    found = dict(_forked(func, iterator, max_parallel))
    return [found[at] for at in sorted(found)]


def parallel_imap_unordered(
    func: Callable[[Any], Any],
    iterator: Iterable[Any],
    max_parallel: int | None = None,
    dir: str | None = None,  # noqa: A002
) -> Iterator[Any]:
    """``func`` of each item, in forked processes; results as they come."""
    for _, value in _forked(func, iterator, max_parallel):
        yield value


def _forked(func: Callable[[Any], Any], items: Iterable[Any], workers: int | None) -> Iterator[tuple[int, Any]]:
    """``(place, result)`` of each item. A process per item, so that closures work and nothing is pickled but results.

    Raises:
        MulticoreException: one of the processes failed.
    """
    import os
    import pickle
    import select
    import tempfile

    todo = list(enumerate(items))[::-1]
    running: dict[int, tuple[int, int, Any]] = {}
    while todo or running:
        while todo and len(running) < (workers or os.cpu_count() or 1):
            place, item = todo.pop()
            file: Any = tempfile.TemporaryFile()  # noqa: SIM115 - closed when its result is read
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                _child(func, item, file)
            os.close(write)
            running[read] = (pid, place, file)
        for ready in select.select(list(running), [], [])[0]:  # readable once the child is gone
            pid, place, file = running.pop(ready)
            os.close(ready)
            _, status = os.waitpid(pid, 0)
            if status:
                raise MulticoreException("parallel_map: a process failed; its traceback is above")
            file.seek(0)
            with file:
                yield place, pickle.load(file)


def _child(func: Callable[[Any], Any], item: Any, file: Any) -> None:
    import os
    import pickle
    import traceback

    code = 1
    try:
        pickle.dump(func(item), file)
        file.flush()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


@contextlib.contextmanager
def profile(label: str, stats_dict: dict[str, float] | None = None) -> Iterator[None]:
    """Measure the time inside, in milliseconds: printed, or added to ``stats_dict``."""
    if stats_dict is None:
        print(f"PROFILE: {label} starting")
    began = time.time()
    try:
        yield
    finally:
        took = int((time.time() - began) * 1000)
        if stats_dict is None:
            print(f"PROFILE: {label} completed in {took}ms")
        else:
            stats_dict[label] = stats_dict.get(label, 0) + took


def namespaced_event_name(name: str) -> str:
    """``name`` within the flow's project and branch."""
    from headrace.frontends.metaflow.current import current
    from headrace.frontends.metaflow.settings import from_conf

    facts = [current.get("project_name"), current.get("branch_name")]
    return ".".join([from_conf("NAMESPACED_EVENTS_PREFIX", "mfns"), *[str(one) for one in facts if one], name])
