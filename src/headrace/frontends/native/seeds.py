"""Seeds: that of a run, what the flow function draws with it, and one for a task to hand to a library."""

from __future__ import annotations

import contextlib
import os
import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from headrace.frontends.native.script import wrong
from headrace.identity.keys import FLOW
from headrace.identity.keys import task_seed as derived_seed
from headrace.runtime import randomness
from headrace.services.current import running

if TYPE_CHECKING:
    from headrace.services.session import Session

_LIMIT = 2**64
#: Bytes of a seed that is chosen by chance. JSON keeps such numbers whole in every language.
_CHOSEN = 6


def check_seed(seed: object) -> int:
    """``seed``, which must be one.

    Raises:
        DefinitionError: it is not.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < _LIMIT:
        raise wrong(f"a seed is a whole number from 0 to 2**64 - 1, not {seed!r}")
    return seed


def chosen_seed(given: int | None) -> int:
    """The seed that is given, else one by chance."""
    return int.from_bytes(os.urandom(_CHOSEN), "little") if given is None else given


def flow_seeded(session: Session, *, given: bool) -> AbstractContextManager[None]:
    """While it is open, the flow function draws numbers of the run's seed from generators without a seed.

    Not in a thread beside the main one, which may draw too, unless the seed was ``given``.
    """
    if not given and threading.current_thread() is not threading.main_thread():
        return contextlib.nullcontext()
    return randomness.flow_seeded(_flow_seed(session))


def _flow_seed(session: Session) -> bytes:
    assert session.seed is not None  # a native run has one
    return derived_seed(session.seed, FLOW)


def task_seed(name: str = "") -> int:
    """A seed for something that takes one, such as ``random_state=`` of scikit-learn: a number below 2**32.

    In a task it is made of the seed of the run and of the task, so it is another one in each task and the same in all
    attempts and in a run with the same seed. Each ``name`` has a seed of its own. In the flow function it is that of
    the flow. Outside of a run it is a number by chance.
    """
    seed = randomness.attempt_seed()
    if not seed:
        run = running()
        seed = _flow_seed(run.session) if run is not None else os.urandom(randomness.SIZE)
    return randomness.derived(seed, name)
