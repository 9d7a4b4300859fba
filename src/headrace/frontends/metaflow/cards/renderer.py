"""Renders pages and keeps them: when a step is over, when it fails, and when it says ``current.card.refresh()``.

A card must never be why a task fails: what goes wrong becomes a card that says so, or a line in the task's log.
"""

from __future__ import annotations

import contextlib
import inspect
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from headrace.frontends.metaflow.authoring.graphinfo import graph_info
from headrace.frontends.metaflow.cards.base import MetaflowCard
from headrace.frontends.metaflow.cards.current import CARD_WORD
from headrace.frontends.metaflow.cards.errors import (
    CardClassFoundException,
    IncorrectCardArgsException,
    UnrenderableCardException,
)
from headrace.frontends.metaflow.cards.types import ErrorCard, find_type
from headrace.frontends.metaflow.names import CARD, CARD_ENDING
from headrace.model.messages import Output
from headrace.model.values import Preview
from headrace.stores import codecs
from headrace.stores.artifacts.protocol import ArtifactStore

#: Tells pages that were made here from those that came in with runs of another system.
MADE_HERE = ("made by", "headrace")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to render: the type of a card, and all that its class is given."""

    type: str
    flow: Any
    options: Any = None
    components: list[Any] = []
    data: dict[str, Any] = {}
    mode: str = "render"  # or ``render_runtime``
    timeout: float | None = None
    save_errors: bool = True


class _TimeIsUp(BaseException):
    """Not an ``Exception``, so that a card type cannot catch it by accident."""


@contextlib.contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """Raise ``_TimeIsUp`` inside after so many seconds. A timer that was set before goes on afterwards."""
    if not seconds or seconds < 0 or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expired(*_: Any) -> None:
        raise _TimeIsUp

    begun = time.monotonic()
    handler = signal.signal(signal.SIGALRM, expired)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - begun)))


def render(order: Order, task: Any) -> str | None:
    """The page; one that says what went wrong when there is none and errors are to be saved.

    Raises:
        MetaflowException: there is no such type, it does not take the options, or it raised; with ``save_errors``,
            none of that.
    """
    try:
        page, problem = _rendered(order, task)
    except (CardClassFoundException, IncorrectCardArgsException, UnrenderableCardException) as error:
        if not order.save_errors:
            raise
        page, problem = None, str(error)
    if page is None and order.save_errors:
        made: str = ErrorCard().render(task, problem)
        return made
    return page


def _rendered(order: Order, task: Any) -> tuple[str | None, str]:
    """The page, or None and why."""
    import traceback

    cls = find_type(order.type, order.flow)
    if cls is None:
        raise CardClassFoundException(order.type)
    card = _made(cls, order)
    with contextlib.suppress(AttributeError):  # a class with slots, or a property of that name, does without
        card.runtime_data = order.data
    try:
        with _limited(order.timeout):
            page = card.render(task) if order.mode == "render" else card.render_runtime(task, order.data)
    except _TimeIsUp as error:
        stack = "".join(traceback.format_exception(error))
        return None, (
            f"Card rendering timed out after {order.timeout:g} seconds. To increase the timeout duration for card "
            f"rendering, please set the `timeout` parameter in the @card decorator. \nStack Trace : \n{stack}"
        )
    except (Exception, SystemExit) as error:
        if order.mode == "render_runtime" and isinstance(error, NotImplementedError):
            return None, f"Card of type {order.type} is a runtime card, but does not have `render_runtime`."
        raise UnrenderableCardException(order.type, order.options, traceback.format_exc()) from None
    if not isinstance(page, str):
        return None, f"No information rendered from card of type {order.type}"
    return page.replace(card.RELOAD_POLICY_TOKEN, _token(card, task, order.data)), ""


def _made(cls: type[MetaflowCard], order: Order) -> MetaflowCard:
    graph = graph_info(order.flow if isinstance(order.flow, type) else type(order.flow))
    arguments = {"components": order.components, "graph": graph["steps"], "flow": order.flow}
    if order.options:
        arguments["options"] = order.options
    with contextlib.suppress(TypeError, ValueError):
        if "graph_info" in inspect.signature(cls).parameters:
            arguments["graph_info"] = graph
    try:
        return cls(**arguments)
    except TypeError:
        raise IncorrectCardArgsException(order.type, order.options) from None


def _token(card: MetaflowCard, task: Any, data: dict[str, Any]) -> str:
    if data.get("render_seq", "never") in ("never", "final"):
        return str(data.get("render_seq", "never"))
    if card.RELOAD_POLICY == card.RELOAD_POLICY_ALWAYS:
        return f"render-seq-{data['render_seq']}"
    if card.RELOAD_POLICY == card.RELOAD_POLICY_ONCHANGE:
        return card.reload_content_token(task, data)
    return "never"


def stem_of(card_type: str, card_id: str | None, uuid: str) -> str:
    """``TYPE-ID-HASH`` or ``TYPE-HASH``, which tells all about a card but its content."""
    kind = card_type if CARD_WORD.match(card_type) else "error"
    return f"{kind}-{card_id}-{uuid}" if card_id is not None else f"{kind}-{uuid}"


def kept(page: str, stem: str, place: tuple[int, int], store: ArtifactStore) -> Output:
    """A page in the store, as an artifact. ``place``: attempt, and number among its cards."""
    attempt, number = place
    facts = (("attempt", str(attempt)), ("number", str(number)), MADE_HERE)
    return Output(f"{CARD}{stem}{CARD_ENDING}", codecs.pack(page, store), Preview("card", stem, facts))
