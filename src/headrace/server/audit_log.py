"""Writes to the audit log what was changed through the server, and what was refused."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from starlette.requests import HTTPConnection

from headrace.server.principals import Principal
from headrace.services.accounts.users import Accounts, Source

#: Refusals of senders who did not say who they are that are written in a minute; the others are counted, so that
#: nobody can fill the database without an account.
ANONYMOUS_PER_MINUTE = 60
#: Statuses of requests that changed nothing and were refused for what they say, not for who sent them.
_MALFORMED = frozenset({400, 405, 408, 413, 414, 415, 421, 499})
_REFUSED = frozenset({401, 403, 404, 429})


class AuditLog:
    """Of one server process.

    Args:
        accounts: opens the accounts; called with each entry.
    """

    def __init__(self, accounts: Callable[[], Accounts]) -> None:
        self._accounts = accounts
        self._lock = threading.Lock()
        self._minute = 0
        self._anonymous = 0

    @contextlib.contextmanager
    def change(self, source: Source, action: str, about: str, project: str) -> Iterator[None]:
        """A change is made in the ``with`` block: its entry is written in the transaction of the change, or behind it
        where that is not in the database."""
        accounts = self._accounts()
        with accounts.recorded(source, action, about, project=project) as recording:
            yield
        if not recording.written:
            self.done(source, action, about, project)

    def done(self, source: Source, action: str, about: str, project: str) -> None:
        """A change was made."""
        self._accounts().record(source, action, about, project=project)

    def ended(self, source: Source, action: str, about: str, project: str, status: int, detail: str) -> None:
        """A change was not made: ``status`` says why. What was malformed is left out."""
        if status in _MALFORMED:
            return
        if not source.actor and not self._has_room():
            return
        outcome = "refused" if status in _REFUSED else "failed"
        self._accounts().record(source, action, about, project=project, outcome=outcome, detail=detail)

    def _has_room(self) -> bool:
        minute = int(time.monotonic() // 60)
        with self._lock:
            over = self._anonymous - ANONYMOUS_PER_MINUTE if minute != self._minute else 0
            if minute != self._minute:
                self._minute, self._anonymous = minute, 0
            self._anonymous += 1
            room = self._anonymous <= ANONYMOUS_PER_MINUTE
        if over > 0:
            text = f"{over} more in a minute before"
            self._accounts().record(Source(actor=""), "refused", "(many)", outcome="refused", detail=text)
        return room


def source_of(request: HTTPConnection, principal: Principal | None) -> Source:
    """Where a request comes from."""
    return Source(
        actor="" if principal is None else str(principal.actor),
        address=(request.scope.get("client") or ("",))[0],
        request_id=str(request.scope.get("request_id", "")),
    )
