"""Waiting that survives a restart: for a time (``sleep``), for a person or another program (``wait_for``)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from headrace._base.sizes import parse_duration
from headrace.frontends.native.runner import Running
from headrace.identity.keys import task_key
from headrace.model.errors import UsageError
from headrace.model.records import Wait
from headrace.services.current import running

#: Seconds after which a flow that waits looks whether its run is being stopped.
_LOOK = 0.25


def sleep(duration: str | float | timedelta) -> None:
    """Let the flow pause for ``duration`` (seconds, ``"10m"``, a timedelta), counted from its first try.

    A run that is resumed goes on when the time since the first call has passed. Outside a flow function it is just
    ``time.sleep``.
    """
    seconds = parse_duration(duration)
    run = running()
    if not isinstance(run, Running):
        time.sleep(seconds)
        return
    wait = _open(run, "sleep", f"{seconds:g}", "", seconds)
    if wait.done:
        return
    assert wait.until is not None
    remaining = _countdown(wait.until)
    while (left := remaining()) > 0:
        _check(run)
        time.sleep(min(left, _LOOK))
    run.session.write(msgspec.structs.replace(wait, done=True))


def wait_for(name: str, *, timeout: str | float | timedelta | None = None, prompt: str = "") -> Any:
    """Let the flow wait for an answer: ``headrace answer RUN NAME VALUE``, or ``run.answer(name, value)``.

    Args:
        name: what the question is called; asked again in the same run, it wants another answer.
        timeout: how long to wait, counted from the first try; None waits for ever.
        prompt: the question, for the person who answers.

    Returns:
        The answer: what its JSON says, or the text itself.

    Raises:
        TimeoutError: there was no answer in time.
        UsageError: called outside a flow function.
    """
    run = running()
    if not isinstance(run, Running):
        raise UsageError(f"wait_for({name!r}) works in a flow function, not inside a step or outside a run")
    wait = _open(run, "answer", name, prompt, None if timeout is None else parse_duration(timeout))
    if not wait.done:
        answer = _await_answer(run, wait)
        wait = msgspec.structs.replace(wait, done=True, value=answer)
        run.session.write(wait)
    if not wait.value:
        raise TimeoutError(f"nobody answered {name!r} within {timeout}")
    return msgspec.msgpack.decode(wait.value)


def _open(run: Running, kind: str, name: str, prompt: str, seconds: float | None) -> Wait:
    """The wait as an earlier session left it, or a new one, written down."""
    count = run.waits.get((kind, name), 0)
    run.waits[(kind, name)] = count + 1
    key = task_key(f"{kind}:{name}", b"", count)
    record = run.session.run
    for before in run.session.stores.metadata.waits(record.id):
        if before.key == key:
            return before
    now = time.time()
    until = None if seconds is None else now + seconds
    wait = Wait(run_id=record.id, key=key, kind=kind, name=name, prompt=prompt, created=now, until=until)
    run.session.write(wait)
    return wait


def _await_answer(run: Running, wait: Wait) -> bytes:
    """The packed answer; empty when the time was over."""
    place = run.waits[("answer", wait.name)] - 1  # the n-th question of a name takes its n-th answer
    remaining = _countdown(wait.until)
    while True:
        answer = run.session.answer(wait.name, place)
        if answer is not None:
            return answer.value
        left = remaining()
        if left <= 0:
            return b""
        _check(run)
        run.session.wait_for_signal(min(left, _LOOK))


def _countdown(until: float | None) -> Callable[[], float]:
    """Seconds left, by the time of day or from now on, whichever ends first: clocks go back, machines sleep."""
    if until is None:
        return lambda: math.inf
    end = time.monotonic() + until - time.time()
    return lambda: min(until - time.time(), end - time.monotonic())


def _check(run: Running) -> None:
    run.session.check_stopped()
